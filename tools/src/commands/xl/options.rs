//! What the user can say about a domain, for every command that makes one.

use anyhow::{Context, Result};

use crate::commands::run::{boot_argument, given};
use crate::qemu::MemorySize;
use crate::registry::{App, Board};
use crate::xl::{BootArgument, Bridge, Config, DomainName, MacAddress};

/// A domain with less than this is likely not to boot.
const LITTLE: MemorySize = MemorySize(8);

/// What a domain is given.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Options for boards that xl starts")]
pub(crate) struct DomainOptions {
    /// The domain's name [default: APP-BOARD]
    #[arg(long, value_name = "NAME")]
    name: Option<DomainName>,
    /// The guest's memory, such as 16M or 1G [default: 32M]
    #[arg(long, value_name = "SIZE")]
    memory: Option<MemorySize>,
    /// The bridge of the Xen host that it is connected to [default: xl's own, usually xenbr0]
    #[arg(long, value_name = "NAME")]
    bridge: Option<Bridge>,
    /// Its MAC address [default: one made from its name]
    #[arg(long, value_name = "ADDRESS")]
    mac: Option<MacAddress>,
    /// A boot argument for the guest, such as log=debug; may be given again
    #[arg(long = "arg", value_name = "KEY=VALUE", value_parser = argument)]
    arguments: Vec<BootArgument>,
}

impl DomainOptions {
    /// The first option that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        given([
            (self.name.is_some(), "--name"),
            (self.memory.is_some(), "--memory"),
            (self.bridge.is_some(), "--bridge"),
            (self.mac.is_some(), "--mac"),
            (!self.arguments.is_empty(), "--arg"),
        ])
        .next()
    }

    /// The domain that runs `app` on `board`, its image beside its file.
    pub(crate) fn config(&self, app: &App, board: &Board) -> Result<Config> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => board
                .domain_name(app)
                .parse()
                .context("name the domain with --name")?,
        };
        let mut config = Config::new(name, board.image_file(app).parse()?);
        config.memory = self.memory.unwrap_or(config.memory);
        config.arguments.clone_from(&self.arguments);
        for vif in &mut config.vifs {
            vif.mac = self.mac.unwrap_or(vif.mac);
            vif.bridge.clone_from(&self.bridge);
        }
        if config.memory < LITTLE {
            eprintln!(
                "warning: {} is little memory for a guest of Xen; should it not boot, give it {LITTLE}",
                config.memory
            );
        }
        Ok(config)
    }

    /// Returns whether the user has chosen the MAC address.
    pub(crate) fn has_mac(&self) -> bool {
        self.mac.is_some()
    }
}

/// Reads a boot argument: one that the guest takes, and xl's file too.
fn argument(text: &str) -> Result<BootArgument> {
    Ok(boot_argument(text)?.parse()?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::registry::Loader;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: DomainOptions,
    }

    fn parse(words: &[&str]) -> Result<DomainOptions, clap::Error> {
        let words = ["build"].iter().chain(words);
        Line::try_parse_from(words).map(|line| line.options)
    }

    fn config(words: &[&str], app: &str) -> Result<Config> {
        let app = App {
            name: app.to_owned(),
            summary: String::new(),
            package: String::new(),
            hidden: false,
            boards: None,
            has_build_script: false,
        };
        let board = Board {
            name: "xenvm".to_owned(),
            summary: String::new(),
            target: Some("aarch64-unknown-none".to_owned()),
            target_cpu: None,
            feature: None,
            loader: Some(Loader::Xl),
        };
        parse(words).expect("good words").config(&app, &board)
    }

    #[test]
    fn a_domain_is_named_after_its_image() {
        let config = config(&[], "2048").expect("a good name");
        assert_eq!(config.name.as_str(), "2048-xenvm");
        assert_eq!(config.kernel.to_string(), "2048.img");
        assert_eq!(config.vifs.len(), 1);
    }

    #[test]
    fn options_reach_the_domain() {
        let words =
            "--name web --memory 1G --bridge br0 --mac 02:00:00:00:00:01 --arg a=b --arg c=";
        let words: Vec<&str> = words.split(' ').collect();
        let config = config(&words, "2048").expect("good words");
        assert_eq!(config.name.as_str(), "web");
        assert_eq!(config.memory, MemorySize(1024));
        let vif = &config.vifs[0];
        assert_eq!(vif.mac.to_string(), "02:00:00:00:00:01");
        assert_eq!(
            vif.bridge.as_ref().map(Bridge::to_string).as_deref(),
            Some("br0")
        );
        let arguments: Vec<&str> = config.arguments.iter().map(BootArgument::as_str).collect();
        assert_eq!(arguments, ["a=b", "c="]);
    }

    #[test]
    fn wrong_values_are_refused_before_anything_is_done() {
        for bad in [
            ["--name", "2048"],
            ["--memory", "0M"],
            ["--bridge", "a,b"],
            ["--mac", "01:00:00:00:00:00"],
            ["--arg", "novalue"],
            ["--arg", "a='b"],
        ] {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_app_whose_name_is_no_domains_needs_another() {
        let error = config(&[], "größe").expect_err("no name for a domain");
        assert!(format!("{error:#}").contains("--name"), "{error:#}");
        assert!(config(&["--name", "size"], "größe").is_ok());
    }

    #[test]
    fn options_are_noticed() {
        let given = |words: &[&str]| parse(words).expect("good words").given();
        assert_eq!(given(&[]), None);
        assert_eq!(given(&["--arg", "a=b"]), Some("--arg"));
        assert_eq!(given(&["--mac", "02:00:00:00:00:01"]), Some("--mac"));
    }
}
