//! Boot arguments before a boot: an image's file says which there are.

use std::path::Path;

use anyhow::{Context, Result};
use landfall_arguments::{Argument, ArgumentError, Words, find};

use crate::commands::apps::print_table;
use crate::registry::nearest;

/// Boot arguments that the image would refuse, too.
#[derive(Debug, thiserror::Error)]
#[error("{error}{advice}")]
pub(crate) struct Refused {
    error: ArgumentError,
    advice: String,
}

/// The exit code of a command with wrong boot arguments: the guest's, if it had booted.
pub(crate) const REFUSED: u8 = 2;

/// Whether to go on with a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The arguments are right, as far as one can tell.
    Boot,
    /// They asked for help, and have it.
    End,
}

/// Returns whether a word asks for the list of arguments.
pub(crate) fn asks_for_help(word: &str) -> bool {
    matches!(word, "--help" | "-h" | "help")
}

/// Checks arguments for the image, program or ELF file at `path`, or prints which there are.
pub(crate) fn check(path: &Path, given: &[impl AsRef<str>]) -> Result<Next> {
    let given: Vec<&str> = given.iter().map(AsRef::as_ref).collect();
    if given.is_empty() {
        return Ok(Next::Boot);
    }
    let file = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let known = find(&file);
    if given.iter().any(|word| asks_for_help(word)) {
        print(&known);
        return Ok(Next::End);
    }
    refuse_wrong(&given.join(" "), &known)?;
    Ok(Next::Boot)
}

/// An image without any argument is none of ours, or an old one: it will see for itself.
fn refuse_wrong(line: &str, known: &[Argument<'_>]) -> Result<(), Refused> {
    let checked = Words::parse(line).and_then(|words| match known {
        [] => Ok(()),
        known => words.check_for(known),
    });
    checked.map_err(|error| Refused {
        advice: advice(&error, known),
        error,
    })
}

fn advice(error: &ArgumentError, known: &[Argument<'_>]) -> String {
    let ArgumentError::Unknown { key, .. } = error else {
        return String::new();
    };
    let known: Vec<String> = known.iter().map(|it| it.key().to_owned()).collect();
    nearest(key, &known)
        .map(|key| format!("; did you mean `{key}`?"))
        .unwrap_or_default()
}

fn print(known: &[Argument<'_>]) {
    let rows: Vec<[String; 4]> = known
        .iter()
        .map(|it| [it.key(), it.type_name(), it.default(), it.help()].map(str::to_owned))
        .collect();
    println!("Boot arguments, each given as key=value:");
    print_table(["KEY", "TYPE", "DEFAULT", "WHAT"], &rows);
}

#[cfg(test)]
mod tests {
    use landfall_arguments::argument;

    use super::*;

    const KNOWN: [Argument<'_>; 2] = [
        argument!("A", "port", "u16", "8080", "TCP port"),
        argument!("R", "log", "LogFilter", "info", "how much to log"),
    ];

    fn refused(line: &str) -> String {
        refuse_wrong(line, &KNOWN)
            .expect_err("a wrong line")
            .to_string()
    }

    #[test]
    fn wrong_arguments_are_refused_in_the_guests_words() {
        assert_eq!(
            refused("prot=1"),
            "unknown boot argument `prot`; known are: port, log; did you mean `port`?"
        );
        assert_eq!(
            refused("colour=1"),
            "unknown boot argument `colour`; known are: port, log"
        );
        assert_eq!(
            refused("port=65536"),
            "boot argument port=65536: expected a number from 0 to 65535"
        );
        assert!(refused("log=net=loud").contains("expected off, error"));
        assert!(refused("port=1 port=2").ends_with("given twice"));
    }

    #[test]
    fn right_arguments_and_those_of_unknown_images_pass() {
        refuse_wrong("port=1 log=warn,net=debug", &KNOWN).expect("right");
        refuse_wrong("anything=1", &[]).expect("nobody knows");
    }

    #[test]
    fn help_needs_the_file() {
        assert_eq!(
            check(Path::new("/nowhere"), &[""; 0]).ok(),
            Some(Next::Boot)
        );
        assert!(check(Path::new("/nowhere"), &["help"]).is_err());
    }
}
