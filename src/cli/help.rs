//! `mesh --help`: the commands under four headings, short.

use super::text::clean_line;
use crate::catalogue::{Catalogue, Function};
use clap::Command;

/// Heading of a command; hidden ones are not shown.
#[derive(Clone, Copy, PartialEq)]
#[allow(dead_code)] // not every heading has a command of this machine below it
pub enum Group {
    Start,
    Messages,
    Team,
    Machine,
    Hidden,
}

impl Group {
    pub fn is_hidden(self) -> bool {
        self == Group::Hidden
    }

    fn named(name: &str) -> Option<Group> {
        let group = match name {
            "start" => Group::Start,
            "messages" => Group::Messages,
            "team" => Group::Team,
            "machine" => Group::Machine,
            _ => return None,
        };
        Some(group)
    }
}

/// `command` with its commands listed by heading. A function says its own; else what agents do all day is messages, the rest team.
pub fn group(command: Command, catalogue: &Catalogue) -> Command {
    let mut list = String::new();
    let shown: Vec<&Command> = command
        .get_subcommands()
        .filter(|c| !c.is_hide_set())
        .collect();
    let width = shown.iter().map(|c| c.get_name().len()).max().unwrap_or(0);
    for (group, heading) in [
        (Group::Start, "Start here"),
        (Group::Messages, "Messages"),
        (Group::Team, "Team"),
        (Group::Machine, "This machine"),
    ] {
        let members: Vec<_> = shown
            .iter()
            .filter(|c| group_of(c.get_name(), catalogue) == group)
            .collect();
        if members.is_empty() {
            continue;
        }
        list += &format!("{heading}:\n");
        for command in members {
            let about = command
                .get_about()
                .map(ToString::to_string)
                .unwrap_or_default();
            let about = clean_line(&about).replace(['{', '}'], " ");
            list += &format!(
                "  {:width$}  {}\n",
                command.get_name(),
                about.trim_end_matches('.')
            );
        }
        list += "\n";
    }
    command
        .about("One team of AI coding agents, across machines and vendors")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .override_usage("mesh [OPTIONS] <command>")
        .help_template(format!(
            "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{list}Options:\n{{options}}{{after-help}}"
        ))
        .after_help("`mesh help <command>` says more, with examples.")
}

fn group_of(name: &str, catalogue: &Catalogue) -> Group {
    let of_function = |f: &Function, words: usize| {
        let cli = f.cli.as_ref()?;
        let own = cli.verb.first().is_some_and(|word| word == name);
        (own && cli.verb.len() == words).then(|| {
            cli.group.as_deref().and_then(Group::named).unwrap_or(
                if f.mcp == "core" && f.who == "agent" {
                    Group::Messages
                } else {
                    Group::Team
                },
            )
        })
    };
    super::local_group(name)
        // Its own function says more of a command than those below it.
        .or_else(|| {
            let mut words = [1, 2].into_iter();
            words.find_map(|words| {
                catalogue
                    .functions
                    .iter()
                    .find_map(|f| of_function(f, words))
            })
        })
        .unwrap_or(Group::Team)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_stands_where_its_own_function_says() {
        let catalogue = Catalogue::embedded();
        for name in ["send", "read", "release", "dead", "schedule", "tail"] {
            assert!(
                group_of(name, &catalogue) == Group::Messages,
                "{name} is under Messages"
            );
        }
        assert!(group_of("board", &catalogue) == Group::Team);
    }
}
