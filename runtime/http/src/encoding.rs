//! Which content coding a client prefers (RFC 9110, 12.5.3).

/// Weights count in thousandths: 1000 is `q=1`.
const FULL: u16 = 1000;

/// Returns whether `accept_encoding`, the value of that header field, accepts gzip and likes it no
/// less than the plain bytes.
pub(crate) fn accepts_gzip(accept_encoding: &str) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for member in accept_encoding.split(',') {
        let (coding, parameters) = member.split_once(';').unwrap_or((member, ""));
        let weight = Some(weight(parameters.trim_ascii()));
        match coding.trim_ascii() {
            coding
                if ["gzip", "x-gzip"]
                    .iter()
                    .any(|it| it.eq_ignore_ascii_case(coding)) =>
            {
                gzip = gzip.max(weight);
            }
            coding if coding.eq_ignore_ascii_case("identity") => identity = weight,
            "*" => any = weight,
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// Returns the weight that `parameters` give: full without any, none where they are not a weight.
fn weight(parameters: &str) -> u16 {
    if parameters.is_empty() {
        return FULL;
    }
    let value = parameters
        .strip_prefix(['q', 'Q'])
        .and_then(|rest| rest.trim_ascii().strip_prefix('='));
    value
        .and_then(|value| thousandths(value.trim_ascii()))
        .unwrap_or(0)
}

/// Parses `0`, `0.5`, `1.000`: at most three decimals, at most one (RFC 9110, 12.4.2).
fn thousandths(value: &str) -> Option<u16> {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let fraction = decimals.bytes().chain(*b"000").take(3);
    let fraction = fraction.fold(0, |sum, digit| 10 * sum + u16::from(digit - b'0'));
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(FULL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_where_it_is_accepted() {
        let accepting = [
            "gzip",
            "GZip",
            "x-gzip",
            "br, gzip",
            "gzip, deflate, br, zstd",
            "gzip;q=0.001",
            "gzip ; q = 0.5 , identity;q=0.5",
            "*",
            "br;q=1, *;q=0.1",
            "identity;q=0, gzip;q=1.000",
            "deflate,gzip;q=1.",
        ];
        for value in accepting {
            assert!(accepts_gzip(value), "{value:?}");
        }
    }

    #[test]
    fn gzip_is_left_out_where_it_is_not() {
        let refusing = [
            "",
            "identity",
            "br",
            "gzip;q=0",
            "gzip;q=0.000",
            "gzip;q=0, *",
            "*;q=0",
            "gzip;q=0.5, identity",
            "gzip;q=0.4, identity;q=0.5",
            "gzip;q=-1",
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.0001",
            "gzip;q=",
            "gzip;q=0.x",
            "gzip;level=9",
            "gzipped",
            "not gzip",
        ];
        for value in refusing {
            assert!(!accepts_gzip(value), "{value:?}");
        }
    }
}
