//! What Xen answers when it refuses a hypercall.

use core::fmt;

/// Why a hypercall failed (`errno.h` of Xen's public headers).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum XenError {
    /// `EPERM`, `EACCES`: this domain may not do that.
    NotPermitted,
    /// `ENOENT`, `ESRCH`: no such object or domain.
    NotFound,
    /// `EAGAIN`, `EBUSY`, `EINTR`: not now.
    Busy,
    /// `ENOMEM`: Xen, or this domain's share of it, is out of memory.
    OutOfMemory,
    /// `EFAULT`: an argument does not lie in memory that Xen can read.
    BadAddress,
    /// `EEXIST`: it exists already.
    Exists,
    /// `EINVAL`: an argument makes no sense to this version of Xen.
    InvalidArgument,
    /// `ENOSPC`: no room, such as for one more event channel.
    NoSpace,
    /// `ENOSYS`, `EOPNOTSUPP`: this Xen does not have the operation.
    NotImplemented,
    /// Any other number.
    Other(i32),
}

impl XenError {
    /// Returns the result of a hypercall: negative numbers are errors.
    pub(crate) fn check(value: isize) -> Result<usize, Self> {
        usize::try_from(value).map_err(|_| Self::from_errno(value.unsigned_abs()))
    }

    fn from_errno(errno: usize) -> Self {
        match errno {
            1 | 13 => Self::NotPermitted,
            2 | 3 => Self::NotFound,
            4 | 11 | 16 => Self::Busy,
            12 => Self::OutOfMemory,
            14 => Self::BadAddress,
            17 => Self::Exists,
            22 => Self::InvalidArgument,
            28 => Self::NoSpace,
            38 | 95 => Self::NotImplemented,
            other => Self::Other(i32::try_from(other).unwrap_or(i32::MAX)),
        }
    }
}

impl fmt::Display for XenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NotPermitted => "Xen does not permit it",
            Self::NotFound => "Xen knows no such object",
            Self::Busy => "Xen is busy; try again",
            Self::OutOfMemory => "Xen is out of memory for this domain",
            Self::BadAddress => "Xen cannot read the argument's memory",
            Self::Exists => "it exists already",
            Self::InvalidArgument => "Xen finds an argument invalid",
            Self::NoSpace => "Xen has no room for one more",
            Self::NotImplemented => "this Xen does not have the operation",
            Self::Other(errno) => return write!(f, "Xen answers with error {errno}"),
        };
        f.write_str(text)
    }
}

impl core::error::Error for XenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_results_are_errors() {
        assert_eq!(XenError::check(7), Ok(7));
        assert_eq!(XenError::check(0), Ok(0));
        assert_eq!(XenError::check(-1), Err(XenError::NotPermitted));
        assert_eq!(XenError::check(-38), Err(XenError::NotImplemented));
        assert_eq!(XenError::check(-99), Err(XenError::Other(99)));
        assert_eq!(XenError::check(isize::MIN), Err(XenError::Other(i32::MAX)));
    }
}
