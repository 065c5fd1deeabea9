//! Formats help texts: joins the lines of notes into paragraphs, which clap wraps at the terminal's width.

use clap::{ArgMatches, Command};

/// Prepares a command and its subcommands: joins the lines of their notes, adds examples to groups, breaks long examples, and lets options take
/// negative numbers, so that a value below zero is refused as a value and not as an unknown option.
pub fn formatted(command: Command) -> Command {
    folded(shaped(command))
}

fn shaped(command: Command) -> Command {
    let command = with_notes(command, paragraphs);
    let command =
        command.mut_args(|arg| if arg.get_action().takes_values() { arg.allow_negative_numbers(true) } else { arg });
    command.mut_subcommands(|one| with_examples(shaped(one)))
}

/// Changes the notes of a command, if it has any.
fn with_notes(command: Command, change: impl FnOnce(&str) -> String) -> Command {
    match command.get_after_help().map(|notes| change(&notes.to_string())) {
        Some(notes) => command.after_help(notes),
        None => command,
    }
}

/// Adds to a group of commands the first example of each of its commands, unless the group has notes of its own.
fn with_examples(command: Command) -> Command {
    if command.get_after_help().is_some() {
        return command;
    }
    let examples: Vec<_> = command.get_subcommands().filter_map(example).collect();
    if examples.is_empty() { command } else { command.after_help(format!("Examples:\n{}", examples.join("\n"))) }
}

/// The first example line that shows the command itself, not a command that is needed before it.
fn example(command: &Command) -> Option<String> {
    let notes = command.get_after_help()?.to_string();
    let shows = |line: &&str| line.starts_with("  inopsio ") && line.split(' ').any(|word| word == command.get_name());
    notes.lines().find(shows).map(str::to_owned)
}

/// Breaks the long examples of a command and its subcommands.
fn folded(command: Command) -> Command {
    with_notes(command, |notes| notes.lines().map(fold).collect::<Vec<_>>().join("\n")).mut_subcommands(folded)
}

/// The width of examples that a terminal of 80 columns shows as they are.
const WIDTH: usize = 78;

/// Breaks a long example between two of its words, so that it can be pasted. clap would break it, too, but without the backslash, and a shell
/// would take the rest for a command of its own.
fn fold(line: &str) -> String {
    if !line.starts_with("  ") || line.chars().count() <= WIDTH {
        return line.to_owned();
    }
    let mut quote = None;
    let words = line.trim_start().split(|c: char| {
        match quote {
            Some(open) if c == open => quote = None,
            None if matches!(c, '\'' | '"') => quote = Some(c),
            _ => {}
        }
        quote.is_none() && c == ' '
    });
    let mut parts = Vec::<String>::new();
    for word in words {
        match parts.last_mut() {
            // An option stays beside its value.
            Some(option) if option.starts_with("--") && !option.contains(' ') && !word.starts_with("--") => {
                option.push(' ');
                option.push_str(word);
            }
            _ => parts.push(word.to_owned()),
        }
    }
    // Each part follows a space.
    let (mut folded, mut column) = (" ".to_owned(), 1);
    for part in parts {
        let width = 1 + part.chars().count();
        if column + width + " \\".len() > WIDTH {
            folded.push_str(" \\\n     ");
            column = 5;
        }
        folded.push(' ');
        folded.push_str(&part);
        column += width;
    }
    folded
}

/// The flag or argument of the given command that a refusal's JSON pointer refers to, as text; the pointer itself if there is none.
pub fn argument_name(command: &Command, given: &ArgMatches, pointer: &str) -> String {
    let (mut command, mut given) = (command, given);
    while let Some((name, below)) = given.subcommand() {
        let Some(found) = command.find_subcommand(name) else { break };
        (command, given) = (found, below);
    }
    let mut parts = pointer.trim_start_matches('/').split('/');
    let member = parts.next().unwrap_or_default();
    let long = member.replace('_', "-");
    let is_it = |arg: &&clap::Arg| arg.get_id() == member || arg.get_long() == Some(long.as_str());
    let Some(arg) = command.get_arguments().find(is_it) else { return pointer.to_owned() };
    let value = || arg.get_id().as_str().to_uppercase();
    let name = arg.get_long().map_or_else(|| format!("<{}>", value()), |long| format!("--{long}"));
    match parts.next().and_then(|place| place.parse::<usize>().ok()) {
        Some(place) => format!("{name}, value {}", place + 1),
        None => name,
    }
}

/// Joins the lines of each paragraph into one line. Indented lines, such as examples, stay as they are.
fn paragraphs(text: &str) -> String {
    let mut shaped = String::new();
    let mut before = "";
    for (number, line) in text.lines().enumerate() {
        let goes_on = !line.is_empty() && !before.is_empty() && !line.starts_with(' ') && !before.starts_with(' ');
        if number > 0 {
            shaped.push(if goes_on { ' ' } else { '\n' });
        }
        shaped.push_str(line);
        before = line;
    }
    shaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_is_one_line_and_examples_stay_as_they_are() {
        let text = "Examples:\n  inopsio a\n  inopsio b\n\nThe first\nparagraph.\n\nThe second.";
        let expected = "Examples:\n  inopsio a\n  inopsio b\n\nThe first paragraph.\n\nThe second.";
        assert_eq!(paragraphs(text), expected);
    }

    #[test]
    fn what_is_refused_is_called_as_it_was_given() {
        let flag = |name: &'static str, long: &'static str| clap::Arg::new(name).long(long);
        let below = Command::new("b").arg(clap::Arg::new("slug"));
        let below = below.arg(flag("grace_days", "grace-days")).arg(flag("types", "types"));
        let command = Command::new("a").subcommand(below);
        let given = command.clone().try_get_matches_from(["a", "b", "x"]).unwrap();
        for (pointer, expected) in [
            ("/slug", "<SLUG>"),
            ("/grace_days", "--grace-days"),
            ("/types/1", "--types, value 2"),
            ("/else/0", "/else/0"),
        ] {
            assert_eq!(argument_name(&command, &given, pointer), expected);
        }
    }

    #[test]
    fn a_group_shows_an_example_of_each_of_its_commands() {
        let notes = |command: &Command| command.get_after_help().map(ToString::to_string);
        let one =
            Command::new("one").after_help("Examples:\n  inopsio two\n  inopsio group one 1\n  inopsio group one 2");
        let two = Command::new("two").after_help("Said of it.\n\nExample:\n  inopsio group two");
        let silent = Command::new("silent");
        let group = Command::new("group").subcommands([one, two, silent]);
        let told =
            Command::new("told").after_help("Its own.").subcommand(Command::new("x").after_help("  inopsio told x"));
        let shaped = formatted(Command::new("inopsio").subcommands([group, told]));
        let group = shaped.find_subcommand("group").and_then(notes);
        assert_eq!(group.as_deref(), Some("Examples:\n  inopsio group one 1\n  inopsio group two"));
        assert_eq!(shaped.find_subcommand("told").and_then(notes).as_deref(), Some("Its own."));
        assert_eq!(notes(&shaped), None, "all that there is would be too much");
    }

    #[test]
    fn a_long_example_goes_on_in_the_next_line_as_a_shell_reads_it() {
        let long = "  inopsio job schedule create --tenant demo --cron '0 6 * * MON' --time-zone Europe/Berlin export_leads '{\"a\": [\"b c\"]}'";
        let broken = "  inopsio job schedule create --tenant demo --cron '0 6 * * MON' \\\n      --time-zone Europe/Berlin export_leads '{\"a\": [\"b c\"]}'";
        assert_eq!(fold(long), broken);
        assert!(broken.lines().all(|line| line.len() <= WIDTH));
        let note = "A note may be as long as it likes: clap breaks it at the width of the terminal that there is.";
        let shaped = formatted(Command::new("a").subcommand(Command::new("b").after_help(format!("{long}\n\n{note}"))));
        let notes = shaped.find_subcommand("b").and_then(Command::get_after_help).map(ToString::to_string);
        assert_eq!(notes, Some(format!("{broken}\n\n{note}")));
        assert_eq!(fold("  inopsio a"), "  inopsio a");
    }

    #[test]
    fn every_command_below_is_shaped() {
        let below = Command::new("b").after_help("one\ntwo").arg(clap::Arg::new("n").long("n"));
        let shaped = formatted(Command::new("a").subcommand(below));
        let notes = shaped.find_subcommand("b").and_then(Command::get_after_help).map(ToString::to_string);
        assert_eq!(notes.as_deref(), Some("one two"));
        assert!(shaped.try_get_matches_from(["a", "b", "--n", "-1"]).is_ok());
    }
}
