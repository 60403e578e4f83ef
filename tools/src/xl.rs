//! Guest configurations for `xl`, Xen's command line: a [`Config`] says what a domain is made of, and its
//! [`Config::text`] is the file that `xl create` reads (xl.cfg(5)).
//!
//! The values are checked when they are read ([`values`]): a configuration that exists can be written.

mod values;

pub(crate) use values::{BootArgument, Bridge, DomainName, ImagePath, MacAddress};

use crate::qemu::MemorySize;

/// A domain, as `xl create` makes it.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Its name in `xl list`.
    pub(crate) name: DomainName,
    /// The image.
    pub(crate) kernel: ImagePath,
    /// Its memory.
    pub(crate) memory: MemorySize,
    /// Its network cards.
    pub(crate) vifs: Vec<Vif>,
    /// Its boot arguments.
    pub(crate) arguments: Vec<BootArgument>,
    /// What follows when it reports that it crashed.
    pub(crate) on_crash: Action,
    /// What follows when it lets Xen's watchdog time out.
    pub(crate) on_watchdog: Action,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vif {
    /// Its address.
    pub(crate) mac: MacAddress,
    /// The bridge on the host; none is xl's default: `vif.default.bridge` of xl.conf(5), else xenbr0.
    pub(crate) bridge: Option<Bridge>,
}

/// What xl does with a domain that has ended (xl.cfg(5), Event Actions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing is left of it.
    Destroy,
    /// A new one is made of the same configuration.
    Restart,
}

impl Action {
    /// xl's word.
    fn word(self) -> &'static str {
        match self {
            Action::Destroy => "destroy",
            Action::Restart => "restart",
        }
    }
}

impl Vif {
    /// xl's words, separated by commas (xl-network-configuration(5)).
    fn words(&self) -> String {
        match &self.bridge {
            Some(bridge) => format!("mac={},bridge={bridge}", self.mac),
            None => format!("mac={}", self.mac),
        }
    }
}

impl Config {
    /// The memory of a domain that is given no other.
    const MEMORY: MemorySize = MemorySize(32);

    /// A domain with one network card on the host's default bridge, whose address belongs to its name: a
    /// DHCP server knows it again when it is created anew. (xl itself would draw another each time.)
    pub(crate) fn new(name: DomainName, kernel: ImagePath) -> Self {
        let mac = MacAddress::of(name.as_str());
        Self {
            name,
            kernel,
            memory: Self::MEMORY,
            vifs: vec![Vif { mac, bridge: None }],
            arguments: Vec::new(),
            on_crash: Action::Restart,
            on_watchdog: Action::Restart,
        }
    }

    /// The text of the configuration file; `file` is the name that it is given.
    pub(crate) fn text(&self, file: &str) -> String {
        let Self { name, kernel, .. } = self;
        let [create, console, shutdown] = aligned([
            format!("xl create -c {file}"),
            format!("xl console {name}"),
            format!("xl shutdown {name}"),
        ]);
        let about_kernel = self.about_kernel();
        let memory = self.memory.0;
        let vifs = listed(&self.vifs, ", ", |vif| format!("'{}'", vif.words()));
        let extra = listed(&self.arguments, " ", |word| word.as_str().to_owned());
        let (on_poweroff, on_reboot) = (Action::Destroy.word(), Action::Restart.word());
        let (on_crash, on_watchdog) = (self.on_crash.word(), self.on_watchdog.word());
        format!(
            r#"# A guest of Xen on ARM, as cargo landfall wrote it; xl.cfg(5) explains the format. In this folder:
#
#   {create}  starts it and shows its console, which Ctrl-] leaves
#   {console}  shows the console again
#   {shutdown}  stops it

# What `xl list` calls it.
name = "{name}"

{about_kernel}
kernel = "{kernel}"

# In MiB.
memory = {memory}

# Landfall runs on one CPU.
vcpus = 1

# Network cards. xl takes its default bridge, usually xenbr0, where no bridge=NAME follows. With a fixed
# mac, DHCP gives the same address each time; no two guests of one network may have the same.
vif = [ {vifs} ]

# Boot arguments, such as "port=80 log=debug".
extra = "{extra}"

# What xl does when it powers off, reboots, crashes (a panic does that), or hangs.
on_poweroff = "{on_poweroff}"
on_reboot = "{on_reboot}"
on_crash = "{on_crash}"
on_watchdog = "{on_watchdog}"
"#
        )
    }

    /// xl's monitor of a domain moves to `/` (daemon(3)) and opens the image again for each restart.
    fn about_kernel(&self) -> &'static str {
        if self.kernel.is_absolute() {
            "# The image. xl opens it again for each restart; when it moves, the path here must follow."
        } else {
            "# The image, in the folder where `xl create` is typed. To restart a domain xl opens it again, but\n\
             # from the folder /: with the full path here, a crashed domain comes back; without, it is gone."
        }
    }
}

/// Returns the lines, each as long as the longest.
fn aligned<const COUNT: usize>(lines: [String; COUNT]) -> [String; COUNT] {
    let width = lines.iter().map(String::len).max().unwrap_or(0);
    lines.map(|line| format!("{line:<width$}"))
}

/// Returns the words for `items` with `separator` between them.
fn listed<T>(items: &[T], separator: &str, word: impl Fn(&T) -> String) -> String {
    items.iter().map(word).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let kernel = "2048.img".parse().expect("a plain name");
        Config::new("2048-xenvm".parse().expect("a name"), kernel)
    }

    /// The lines that xl reads.
    fn settings(config: &Config) -> Vec<String> {
        let text = config.text("2048.xl");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_domain_that_is_told_nothing_boots_from_its_folder_on_the_default_bridge() {
        assert_eq!(
            settings(&config()),
            [
                "name = \"2048-xenvm\"",
                "kernel = \"2048.img\"",
                "memory = 32",
                "vcpus = 1",
                "vif = [ 'mac=00:16:3e:54:72:c2' ]",
                "extra = \"\"",
                "on_poweroff = \"destroy\"",
                "on_reboot = \"restart\"",
                "on_crash = \"restart\"",
                "on_watchdog = \"restart\"",
            ]
        );
    }

    #[test]
    fn values_stand_where_xl_looks_for_them() {
        let mut config = config();
        config.kernel = "/srv/a.img".parse().expect("a plain path");
        config.memory = "1G".parse().expect("a size");
        config.vifs = vec![
            Vif {
                mac: "00:16:3e:00:00:01".parse().expect("an address"),
                bridge: Some("xenbr1".parse().expect("a bridge")),
            },
            Vif {
                mac: "00:16:3e:00:00:02".parse().expect("an address"),
                bridge: None,
            },
        ];
        config.arguments = ["port=80", "log=debug"]
            .map(|word| word.parse().expect("a plain word"))
            .to_vec();
        config.on_crash = Action::Destroy;
        let settings = settings(&config);
        for line in [
            "kernel = \"/srv/a.img\"",
            "memory = 1024",
            "vif = [ 'mac=00:16:3e:00:00:01,bridge=xenbr1', 'mac=00:16:3e:00:00:02' ]",
            "extra = \"port=80 log=debug\"",
            "on_crash = \"destroy\"",
        ] {
            assert!(
                settings.iter().any(|setting| setting == line),
                "{line}: {settings:?}"
            );
        }
    }

    #[test]
    fn the_file_says_how_it_is_started_and_what_a_restart_needs() {
        let mut config = config();
        let text = config.text("2048.xl");
        assert!(text.contains("xl create -c 2048.xl "), "{text}");
        assert!(text.contains("xl shutdown 2048-xenvm "), "{text}");
        assert!(text.contains("full path"), "{text}");
        config.kernel = "/srv/a.img".parse().expect("a plain path");
        assert!(!config.text("2048.xl").contains("full path"));
    }

    #[test]
    fn names_tell_guests_of_one_network_apart() {
        let other = Config::new("other".parse().expect("a name"), config().kernel);
        assert_ne!(other.vifs[0].mac, config().vifs[0].mac);
    }
}
