//! The boards that cards are made for.

use std::str::FromStr;

/// A board of the kind that `--board sunxi` images run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    /// As given to `--machine`.
    pub(crate) name: &'static str,
    /// Its folder in Debian's package of U-Boot.
    pub(crate) u_boot: &'static str,
    /// How QEMU plays it.
    pub(crate) emulation: Option<Emulation>,
}

/// How QEMU plays a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emulation {
    /// From the card, through U-Boot.
    Card,
    /// By the image itself with a device tree of Debian's: QEMU 7.2 does not start this board from a card.
    Image {
        /// The device tree's name.
        device_tree: &'static str,
    },
}

/// All whose Ethernet is driven: with an H3 (or H2+), with an A10, and with an A20 whose PHY is wired by MII. Debian has U-Boot for these.
const MODELS: [Model; 5] = [
    Model {
        name: "orangepi-plus",
        u_boot: "orangepi_plus",
        emulation: Some(Emulation::Card),
    },
    Model {
        name: "nanopi-neo",
        u_boot: "nanopi_neo",
        emulation: Some(Emulation::Card),
    },
    Model {
        name: "orangepi-zero",
        u_boot: "orangepi_zero",
        emulation: None,
    },
    Model {
        name: "cubieboard",
        u_boot: "Cubieboard",
        emulation: Some(Emulation::Image {
            device_tree: "sun4i-a10-cubieboard.dtb",
        }),
    },
    Model {
        name: "cubieboard2",
        u_boot: "Cubieboard2",
        emulation: None,
    },
];

/// The one whose U-Boot starts on QEMU's `orangepi-pc`.
pub(crate) const EMULATED: Model = MODELS[0];

/// All that QEMU plays.
pub(crate) fn emulated() -> impl Iterator<Item = Model> {
    MODELS.into_iter().filter(|model| model.emulation.is_some())
}

/// A name that no model has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no machine {name:?}; known: {}", Model::names())]
pub(crate) struct UnknownModel {
    name: String,
}

impl Model {
    /// The names of all.
    pub(crate) fn names() -> String {
        MODELS.map(|model| model.name).join(", ")
    }
}

impl FromStr for Model {
    type Err = UnknownModel;

    fn from_str(text: &str) -> Result<Self, UnknownModel> {
        let model = MODELS.iter().find(|model| model.name == text);
        model.copied().ok_or_else(|| UnknownModel {
            name: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_known_by_name() {
        assert_eq!("orangepi-plus".parse(), Ok(EMULATED));
        let error = "orangepi".parse::<Model>().expect_err("none of that name");
        assert!(error.to_string().contains("nanopi-neo"), "{error}");
    }

    #[test]
    fn qemu_plays_each_chip() {
        let names: Vec<&str> = emulated().map(|model| model.name).collect();
        assert_eq!(names, ["orangepi-plus", "nanopi-neo", "cubieboard"]);
    }
}
