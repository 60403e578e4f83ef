//! Backends that a test makes of bytes, for tests and fuzzers on a host.
