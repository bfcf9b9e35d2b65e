//! Holds the command line as a whole: its help, its completions, its manual.
#![cfg(test)]

use clap::ValueEnum as _;
use clap_complete::Shell;

use super::*;

#[test]
fn the_command_line_is_sound() {
    command().debug_assert();
}

#[test]
fn what_a_command_says_of_its_codes_is_in_the_list() {
    let mut told = 0;
    let mut commands: Vec<clap::Command> = command().get_subcommands().cloned().collect();
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().cloned());
        let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
        let Some((_, codes)) = long.split_once("Exit code") else { continue };
        told += 1;
        let sentence = codes.split("\n\n").next().unwrap();
        let numbers = sentence.split([':', ',', ' ']).filter_map(|word| word.parse::<u8>().ok());
        for code in numbers {
            assert!(exit::ALL.iter().any(|exit| exit.code == code), "{}: {code}", command.get_name());
        }
    }
    assert!(told >= 10, "only {told} commands tell their exit codes in their help");
}

#[test]
fn every_command_has_a_page_and_is_completed_in_every_shell() {
    let folder = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(command(), folder.path()).unwrap();
    let commands: Vec<String> = command().get_subcommands().map(|below| below.get_name().to_owned()).collect();
    assert!(commands.iter().any(|name| name == "watch"), "{commands:?}");
    for name in &commands {
        let page = std::fs::read_to_string(folder.path().join(format!("portcullis-{name}.1"))).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{page}");
    }
    let event = std::fs::read_to_string(folder.path().join("portcullis-send-event-new-artifact.1")).unwrap();
    assert!(event.contains("\\-\\-image"), "{event}");
    for shell in Shell::value_variants() {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut command(), "portcullis", &mut script);
        let script = String::from_utf8(script).unwrap();
        for name in &commands {
            assert!(script.contains(name), "{shell} does not complete {name}");
        }
    }
}

#[test]
fn the_main_page_tells_the_exit_codes() {
    let page = String::from_utf8(shell::page(&command()).unwrap()).unwrap();
    for exit in exit::ALL {
        assert!(page.contains(&format!("{:>3}", exit.code)), "{page}");
    }
    assert!(page.contains("inconclusive"), "{page}");
}
