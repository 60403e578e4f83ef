//! Cards that start Xen: Debian's, with a small dom0 that creates every guest in a folder of the card.
//!
//! U-Boot's script is `xen.cmd`; [`dom0`] says what dom0 is made of, and `dom0/init` what it does.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use flate2::{Compression, GzBuilder};

use super::{Card, SCRIPT, SCRIPT_TEXT, dom0, script, u_boot};
use crate::lab::initramfs;
use crate::lab::parts::{Kit, LINUX, XEN};
use crate::lab::platform::Architecture;
use crate::lab::tree::Tree;
use crate::setup::foreign::Mirror;
use crate::xl::{Config, ImagePath, MacAddress};

/// The card's layout; dom0's `/init` has the same number.
const LAYOUT: u32 = 1;

/// dom0's files.
const INITRAMFS: &str = "initramfs";
/// What a person can change about dom0, and who may reach it by ssh.
const SETTINGS: &str = "board.txt";
const KEYS: &str = "authorized_keys";
/// The folder of guests, and where dom0 has it.
const GUESTS: &str = "guests";
const MOUNTED_AT: &str = "/card";

/// U-Boot's script, with `@TREE@` for the file name of the device tree and `@MEMORY@` for dom0's.
const SCRIPT_OF_XEN: &str = include_str!("xen.cmd");

/// Where the kernel's package has device trees, as in `usr/lib/linux-image-VERSION/NAME.dtb`.
const TREES: &str = "usr/lib/linux-image-";

/// A board of the kind that these cards are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    /// As given to `--board`.
    pub(crate) name: &'static str,
    /// Its folder in Debian's package of U-Boot.
    u_boot: &'static str,
    /// Its device tree in Debian's package of Linux.
    tree: &'static str,
}

/// All with an A20. Their Ethernet ports are both driven by `dwmac-sunxi`.
const MODELS: [Model; 2] = [
    Model {
        name: "cubieboard2",
        u_boot: "Cubieboard2",
        tree: "sun7i-a20-cubieboard2.dtb",
    },
    Model {
        name: "cubietruck",
        u_boot: "Cubietruck",
        tree: "sun7i-a20-cubietruck.dtb",
    },
];

impl Model {
    /// The model of this name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        MODELS.into_iter().find(|model| model.name == name)
    }
}

/// What dom0 is told.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What it calls itself, to its DHCP server too.
    pub(crate) hostname: HostName,
    /// The address of the board's Ethernet port; none is that of the chip.
    pub(crate) mac: Option<MacAddress>,
    /// Who may log in by ssh; nobody if there are none.
    pub(crate) keys: Option<PublicKeys>,
}

/// A host name (RFC 1123, 2.1), without dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostName(String);

/// Public keys as sshd(8) reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKeys(String);

/// What is neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadSetting {
    /// Of other letters.
    #[error(
        "{0:?} cannot be a host's name: write up to 63 letters, digits and hyphens, none of these at an end"
    )]
    HostName(String),
    /// Not what a server is given.
    #[error(
        "that is a private key, which stays with you: name the file with the same name and .pub"
    )]
    PrivateKey,
    /// Something else.
    #[error("it has no public key, such as \"ssh-ed25519 AAAA… you@home\", on each line")]
    NoKey,
}

impl FromStr for HostName {
    type Err = BadSetting;

    fn from_str(text: &str) -> Result<Self, BadSetting> {
        let is_edge = |end: Option<char>| end.is_some_and(|it| it.is_ascii_alphanumeric());
        let is_name = text.len() <= 63
            && is_edge(text.chars().next())
            && is_edge(text.chars().next_back())
            && text
                .chars()
                .all(|it| it.is_ascii_alphanumeric() || it == '-');
        is_name
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| BadSetting::HostName(text.to_owned()))
    }
}

impl FromStr for PublicKeys {
    type Err = BadSetting;

    fn from_str(text: &str) -> Result<Self, BadSetting> {
        if text.contains("PRIVATE KEY") {
            return Err(BadSetting::PrivateKey);
        }
        let lines = text.lines().map(str::trim);
        let keys: Vec<&str> = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        let is_key = |line: &&str| {
            let mut words = line.split_whitespace();
            let kind = words.next().unwrap_or_default();
            (kind.starts_with("ssh-") || kind.starts_with("ecdsa-"))
                && words.next().is_some_and(|key| key.starts_with("AAAA"))
        };
        if keys.is_empty() || !keys.iter().all(is_key) {
            return Err(BadSetting::NoKey);
        }
        Ok(Self(keys.join("\n") + "\n"))
    }
}

/// A guest: its image, and what xl is told about it.
#[derive(Debug)]
pub(crate) struct Guest {
    /// The image's file name.
    pub(crate) file: String,
    /// Its bytes.
    pub(crate) image: Vec<u8>,
    /// The domain; where the image lies is for the card to say.
    pub(crate) config: Config,
}

impl Guest {
    /// Its two files on a card.
    fn files(mut self) -> Result<[(String, Vec<u8>); 2]> {
        let stem = self
            .file
            .rsplit_once('.')
            .map_or(&*self.file, |(stem, _)| stem);
        let config = format!("{stem}.xl");
        self.config.kernel = format!("{MOUNTED_AT}/{GUESTS}/{}", self.file).parse::<ImagePath>()?;
        let text = self.config.text(&config).into_bytes();
        Ok([
            (format!("{GUESTS}/{config}"), text),
            (format!("{GUESTS}/{}", self.file), self.image),
        ])
    }
}

/// What is the same on all cards: Xen, dom0's kernel and files, device trees.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    folder: PathBuf,
}

impl Parts {
    /// Finds them in the cache, or fetches Debian's packages and makes them.
    pub(crate) fn get(mirror: Option<Mirror>) -> Result<Self> {
        let platform = Architecture::Armhf.platform();
        let kit = Kit {
            entries: "card-",
            packages: platform
                .packages
                .into_iter()
                .chain(dom0::RECIPE.packages())
                .collect(),
            is_wanted: |path| dom0::RECIPE.is_wanted(path) || tree_in(path).is_some(),
            words: dom0::RECIPE.words().collect(),
            files: MODELS
                .map(|model| model.tree)
                .into_iter()
                .chain([INITRAMFS])
                .collect(),
            make,
        };
        let folder = kit.get(platform.debian, mirror)?;
        Ok(Self { folder })
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.folder.join(name);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

/// The name of a device tree that a model has, in a path of the kernel's package.
fn tree_in(path: &str) -> Option<&str> {
    let name = path.strip_prefix(TREES)?.rsplit('/').next()?;
    MODELS
        .iter()
        .any(|model| model.tree == name)
        .then_some(name)
}

fn make(files: &Tree, folder: &Path) -> Result<()> {
    for (path, _) in files.iter() {
        if let (Some(name), Some(data)) = (tree_in(path), files.file(path)) {
            std::fs::write(folder.join(name), data).context("cannot write to the cache")?;
        }
    }
    let path = folder.join(INITRAMFS);
    let file = File::create(&path).context("cannot write to the cache")?;
    // Without a name and a time: the same files give the same bytes.
    let mut archive = GzBuilder::new().write(file, Compression::best());
    initramfs::write(&dom0::RECIPE.root(files)?, &mut archive)?;
    archive.finish().context("cannot write to the cache")?;
    let bytes = path.metadata()?.len();
    eprintln!("card: made dom0's files, {:.1} MB", bytes as f64 / 1e6);
    Ok(())
}

/// The card with which a model creates the guests.
pub(crate) fn card(
    model: Model,
    parts: &Parts,
    settings: &Settings,
    guests: Vec<Guest>,
    mirror: Option<Mirror>,
) -> Result<Card> {
    let text = SCRIPT_OF_XEN
        .replace("@TREE@", model.tree)
        .replace("@MEMORY@", &dom0::MEMORY.to_string());
    let mut files = vec![
        (SCRIPT.to_owned(), script::with_header(&text)),
        (SCRIPT_TEXT.to_owned(), text.into_bytes()),
        (SETTINGS.to_owned(), settings.text().into_bytes()),
    ];
    if let Some(PublicKeys(keys)) = &settings.keys {
        files.push((KEYS.to_owned(), keys.clone().into_bytes()));
    }
    for name in [model.tree, XEN, LINUX, INITRAMFS] {
        files.push((name.to_owned(), parts.read(name)?));
    }
    for guest in guests {
        for (name, data) in guest.files()? {
            ensure!(
                files.iter().all(|(taken, _)| *taken != name),
                "two guests have the file {name}: name each app once"
            );
            files.push((name, data));
        }
    }
    Ok(Card {
        u_boot: u_boot::sunxi(model.u_boot, mirror)?,
        files,
        has_logs: true,
    })
}

impl Settings {
    fn text(&self) -> String {
        let HostName(hostname) = &self.hostname;
        let mac = self.mac.map_or(String::new(), |mac| mac.to_string());
        format!(
            "# What the board calls itself, and the address of its Ethernet port: none is that of the chip.\n\
             hostname={hostname}\nmac={mac}\n# How this card is laid out.\nlayout={LAYOUT}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_labels() {
        for good in ["a", "cubieboard2", "my-board-2", "X"] {
            assert!(good.parse::<HostName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a.b", "a b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_public_keys_go_onto_a_card() {
        let keys: PublicKeys = "# me\r\nssh-ed25519 AAAAC3Nz me@home\r\n\r\n"
            .parse()
            .expect("a key");
        assert_eq!(keys.0, "ssh-ed25519 AAAAC3Nz me@home\n");
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n";
        assert_eq!(private.parse::<PublicKeys>(), Err(BadSetting::PrivateKey));
        for bad in ["", "hello", "ssh-ed25519", "ssh-rsa AAAA\nhello"] {
            assert_eq!(bad.parse::<PublicKeys>(), Err(BadSetting::NoKey), "{bad}");
        }
    }

    #[test]
    fn guests_lie_where_dom0_mounts_the_card() {
        let config = Config::new(
            "2048-cubieboard2".parse().expect("a name"),
            "2048.zimage".parse().expect("a path"),
        );
        let guest = Guest {
            file: "2048.zimage".to_owned(),
            image: vec![1],
            config,
        };
        let [(config, text), (image, _)] = guest.files().expect("a plain path");
        assert_eq!(
            (&*config, &*image),
            ("guests/2048.xl", "guests/2048.zimage")
        );
        let text = String::from_utf8(text).expect("text");
        assert!(
            text.contains("kernel = \"/card/guests/2048.zimage\""),
            "{text}"
        );
        let init = include_str!("dom0/init");
        assert!(init.contains("mount -t vfat -o ro \"$from\" /card"));
        assert!(init.contains("/card/guests/*.xl"));
        assert!(init.contains(&format!("\nlayout={LAYOUT}\n")));
    }
}
