//! What a guest configuration is made of, each value checked when it is read.
//!
//! xl's own file has quotes and escapes, but a value that needs them is more likely a mistake than wanted:
//! none may hold quotes, backslashes or control characters.

use std::hash::Hasher;
use std::str::FromStr;

/// A value that xl would not take, or would take for something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadValue {
    /// Not of the letters that a name may have.
    #[error(
        "{0:?} cannot name a domain: write up to 63 letters, digits and the signs - _ . +, \
         the first a letter or digit"
    )]
    Name(String),
    /// xl takes digits alone for a domain's number.
    #[error(
        "{0:?} cannot name a domain: xl takes digits alone for a domain's number; add a letter, \
         such as {0}-xen"
    )]
    Number(String),
    /// The domain that xl itself runs in.
    #[error("{0:?} cannot name a domain: it is the host's own; choose another name")]
    Host(String),
    /// Not the name of a network interface.
    #[error(
        "{0:?} cannot name a bridge: write an interface of the Xen host, such as xenbr0, in up to 15 \
         letters, digits and signs without / : , and quotes"
    )]
    Bridge(String),
    /// Not six pairs.
    #[error(
        "{0:?} is no MAC address: write six pairs of hexadecimal digits, such as 00:16:3e:12:34:56"
    )]
    Mac(String),
    /// For many machines at once.
    #[error(
        "{0} is a multicast address, and a guest needs one of its own: make the first pair even"
    )]
    Multicast(MacAddress),
    /// Taken for no address, or the host's.
    #[error("{0} cannot be a guest's MAC address: {1}; choose another, such as 00:16:3e:12:34:56")]
    Reserved(MacAddress, &'static str),
    /// Would end the quotes around it.
    #[error(
        "{0:?} cannot be a boot argument of a Xen guest: xl's file has no place for quotes, \
         backslashes and control characters"
    )]
    Argument(String),
    /// Would end the quotes around it.
    #[error(
        "{0:?} cannot be the path of an image: it is empty, or has quotes, backslashes or control characters"
    )]
    Path(String),
}

/// Returns whether `text` can stand between the quotes of xl's file as it is.
fn is_plain(text: &str) -> bool {
    !text.contains(|character: char| "'\"\\".contains(character) || character.is_control())
}

/// A domain's name: the word after `xl console` and `xl shutdown`, and a part of log files' names.
///
/// xl takes any text when it creates a domain, and later cannot find digits alone (it reads a number) or
/// write the log of a name with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DomainName(String);

impl DomainName {
    const LONGEST: usize = 63;

    /// The name as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DomainName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let allowed =
            |character: char| character.is_ascii_alphanumeric() || "-_.+".contains(character);
        if text.len() > Self::LONGEST
            || !text.starts_with(|first: char| first.is_ascii_alphanumeric())
            || !text.chars().all(allowed)
        {
            return Err(BadValue::Name(text.to_owned()));
        }
        if text.chars().all(|digit| digit.is_ascii_digit()) {
            return Err(BadValue::Number(text.to_owned()));
        }
        if text == "Domain-0" {
            return Err(BadValue::Host(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for DomainName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A network bridge of the Xen host.
///
/// Linux takes up to 15 bytes without `/`, `:` and spaces for an interface, and neither `.` nor `..`; the
/// comma ends a word of xl's vif (xl-network-configuration(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bridge(String);

impl Bridge {
    const LONGEST: usize = 15;
}

impl FromStr for Bridge {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let forbidden = |character: char| character.is_whitespace() || "/:,".contains(character);
        let fits = (1..=Self::LONGEST).contains(&text.len());
        if !fits || text == "." || text == ".." || text.contains(forbidden) || !is_plain(text) {
            return Err(BadValue::Bridge(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for Bridge {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The address of a guest's network card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MacAddress([u8; 6]);

impl MacAddress {
    /// Xen's own range (xl-network-configuration(5)).
    const XEN: [u8; 3] = [0x00, 0x16, 0x3e];

    /// What the host's end of every vif has (xen-network-common.sh): a bridge would keep such frames.
    const BACKEND: [u8; 6] = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff];

    /// The address in Xen's range that belongs to `name`, the same on every machine and at every time.
    pub(crate) fn of(name: &str) -> Self {
        let mut hasher = fnv::FnvHasher::default();
        hasher.write(name.as_bytes());
        let [a, b, c, ..] = hasher.finish().to_le_bytes();
        let [x, y, z] = Self::XEN;
        Self([x, y, z, a, b, c])
    }

    /// Reads six pairs of digits, whatever they say.
    fn read(text: &str) -> Option<Self> {
        let mut pairs = text.split(':').map(|pair| {
            let digits = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            digits.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        });
        let mut bytes = [0; 6];
        for byte in &mut bytes {
            *byte = pairs.next()??;
        }
        pairs.next().is_none().then_some(Self(bytes))
    }
}

impl FromStr for MacAddress {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let address = Self::read(text).ok_or_else(|| BadValue::Mac(text.to_owned()))?;
        if address.0[0] & 1 == 1 {
            return Err(BadValue::Multicast(address));
        }
        match address.0 {
            [0, 0, 0, 0, 0, 0] => Err(BadValue::Reserved(address, "it stands for none")),
            Self::BACKEND => Err(BadValue::Reserved(
                address,
                "the host's end of every guest's cable has it",
            )),
            _ => Ok(address),
        }
    }
}

impl std::fmt::Display for MacAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

/// A boot argument that can stand in xl's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BootArgument(String);

impl BootArgument {
    /// The word as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BootArgument {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if is_plain(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadValue::Argument(text.to_owned()))
        }
    }
}

/// Where the image lies on the Xen host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImagePath(String);

impl ImagePath {
    /// The path of `file` in `folder`.
    pub(crate) fn in_folder(folder: &str, file: &str) -> Result<Self, BadValue> {
        format!("{}/{file}", folder.trim_end_matches('/')).parse()
    }

    /// Returns whether xl finds the image from any folder, and so also when it restarts a domain.
    pub(crate) fn is_absolute(&self) -> bool {
        self.0.starts_with('/')
    }
}

impl FromStr for ImagePath {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if !text.is_empty() && is_plain(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadValue::Path(text.to_owned()))
        }
    }
}

impl std::fmt::Display for ImagePath {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_every_command_of_xl_finds_again() {
        for good in ["2048-xenvm", "a", "7zip", "web.example_1+2"] {
            assert!(good.parse::<DomainName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "a\"", "ä", "a\n", "a;b"] {
            assert_eq!(
                bad.parse::<DomainName>(),
                Err(BadValue::Name(bad.to_owned()))
            );
        }
        assert!("n".repeat(63).parse::<DomainName>().is_ok());
        assert!("n".repeat(64).parse::<DomainName>().is_err());
        let number = "2048".parse::<DomainName>().expect_err("a number");
        assert!(number.to_string().contains("2048-xen"), "{number}");
        assert_eq!(
            "Domain-0".parse::<DomainName>(),
            Err(BadValue::Host("Domain-0".to_owned()))
        );
    }

    #[test]
    fn bridges_are_names_of_interfaces() {
        for good in ["xenbr0", "br-lan.20", "b", "fifteen-letters"] {
            assert!(good.parse::<Bridge>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "sixteen-letters-",
            "a/b",
            "a b",
            "a,b",
            "a:b",
            "a'b",
            "a\"b",
            "a\\b",
            "a\u{7f}",
        ] {
            assert_eq!(bad.parse::<Bridge>(), Err(BadValue::Bridge(bad.to_owned())));
        }
    }

    #[test]
    fn addresses_of_guests_are_six_pairs() {
        let address: MacAddress = "00:16:3E:aB:00:0f".parse().expect("an address");
        assert_eq!(address.to_string(), "00:16:3e:ab:00:0f");
        for bad in [
            "",
            "00:16:3e:00:00",
            "00:16:3e:00:00:00:00",
            "0:16:3e:00:00:00",
            "00-16-3e-00-00-00",
            "00:16:3g:00:00:00",
            "+0:16:3e:00:00:00",
            "00:16:3e:00:00:00 ",
        ] {
            assert_eq!(
                bad.parse::<MacAddress>(),
                Err(BadValue::Mac(bad.to_owned()))
            );
        }
    }

    #[test]
    fn addresses_that_are_no_guests_are_refused() {
        for (bad, why) in [
            ("01:16:3e:00:00:00", "multicast"),
            ("ff:ff:ff:ff:ff:ff", "multicast"),
            ("00:00:00:00:00:00", "none"),
            ("fe:ff:ff:ff:ff:ff", "host"),
        ] {
            let error = bad.parse::<MacAddress>().expect_err("no guest's");
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn an_address_belongs_to_its_name() {
        let address = MacAddress::of("2048-xenvm");
        assert_eq!(address, MacAddress::of("2048-xenvm"));
        assert_ne!(address, MacAddress::of("hello-xenvm"));
        // A new release must not give running services new addresses.
        assert_eq!(address.to_string(), "00:16:3e:54:72:c2");
        assert_eq!(address.to_string().parse(), Ok(address));
    }

    #[test]
    fn what_would_end_the_quotes_is_refused() {
        for bad in ["a='b'", "a=\"b\"", "a=b\\", "a=\n", "a=\u{1b}"] {
            assert_eq!(
                bad.parse::<BootArgument>(),
                Err(BadValue::Argument(bad.to_owned()))
            );
            assert_eq!(
                bad.parse::<ImagePath>(),
                Err(BadValue::Path(bad.to_owned()))
            );
        }
        assert!("".parse::<ImagePath>().is_err());
        assert!("name=größe,#;".parse::<BootArgument>().is_ok());
    }

    #[test]
    fn folders_may_end_with_a_slash() {
        for folder in ["/srv/xen", "/srv/xen/"] {
            let path = ImagePath::in_folder(folder, "a.img").expect("a plain path");
            assert_eq!(path.to_string(), "/srv/xen/a.img");
            assert!(path.is_absolute());
        }
        let root = ImagePath::in_folder("/", "a.img").expect("a plain path");
        assert_eq!(root.to_string(), "/a.img");
        assert!(!"a.img".parse::<ImagePath>().expect("a name").is_absolute());
    }
}
