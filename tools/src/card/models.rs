//! The boards that cards are made for.

use std::str::FromStr;

/// A board of the kind that `--board sunxi` images run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    /// As given to `--machine`.
    pub(crate) name: &'static str,
    /// Its folder in Debian's package of U-Boot.
    pub(crate) u_boot: &'static str,
}

/// All with an H3 (or H2+) whose Ethernet is driven. Debian has U-Boot for these.
const MODELS: [Model; 3] = [
    Model {
        name: "orangepi-plus",
        u_boot: "orangepi_plus",
    },
    Model {
        name: "nanopi-neo",
        u_boot: "nanopi_neo",
    },
    Model {
        name: "orangepi-zero",
        u_boot: "orangepi_zero",
    },
];

/// The one whose U-Boot starts on QEMU's `orangepi-pc`.
pub(crate) const EMULATED: Model = MODELS[0];

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
}
