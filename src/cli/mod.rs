//! The command line: parse, run, print, exit.

mod backup;
mod call;
pub mod catalogues;
mod completions;
pub mod context;
mod doctor;
mod down;
pub mod globals;
mod go;
mod grant;
mod grep;
mod help;
mod join;
pub mod login;
mod logout;
mod mcp;
mod migrate;
mod mistakes;
mod output;
mod passphrase;
mod peer;
mod psql;
mod recover;
mod reference;
mod relay;
mod restore;
mod run;
mod setup;
mod signup;
mod status;
pub mod text;
mod token;
mod trust;
mod up;
mod values;
mod verbs;
mod verify;
mod workspace;

use crate::{
    catalogue::Catalogue,
    error::{Error, Result},
    home::Home,
    rpc,
};
use clap::{ArgMatches, Args as _, Command, FromArgMatches as _, error::ErrorKind};
use globals::Globals;
use std::{ffi::OsString, io::Write as _, path::PathBuf, process::ExitCode};
use tracing_subscriber::{
    filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// The commands that touch this machine, by the heading they have in `mesh --help`. Each is a module with
/// `Args` and `async fn run(args: Args, globals: &Globals) -> Result<()>`.
macro_rules! local_verbs {
    ($($heading:ident: $($module:ident)+;)+) => {
        fn add_local(command: Command) -> Command {
            command$($(.subcommand(
                $module::Args::augment_args(Command::new(stringify!($module))).hide(help::Group::$heading.is_hidden())
            ))+)+
        }

        fn local_group(name: &str) -> Option<help::Group> {
            match name {
                $($(stringify!($module) => Some(help::Group::$heading),)+)+
                _ => None,
            }
        }

        async fn run_local(name: &str, matches: &ArgMatches, globals: &Globals) -> Option<Result<()>> {
            Some(match name {
                $($(stringify!($module) => match $module::Args::from_arg_matches(matches) {
                    Ok(args) => $module::run(args, globals).await,
                    Err(e) => Err(Error::usage(e.to_string())),
                },)+)+
                _ => return None,
            })
        }
    };
}

local_verbs! {
    Start: up go join login signup;
    Machine: grant setup run status doctor verify trust recover backup restore token logout mcp down relay migrate psql completions;
    Hidden: reference;
}

/// Logs of a long-running command: to stderr, warnings unless `MESH_LOG` says otherwise (`info`, `mesh=debug`).
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MESH_LOG")
        .unwrap_or_else(|_| "warn,rustls_platform_verifier=off".into());
    // Libraries log what they carry at these levels: statements with their parameters, frames, headers.
    let is_discreet = |about: &tracing::Metadata| {
        about.target().starts_with("mesh") || *about.level() <= tracing::Level::INFO
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(is_discreet))
        .with(lines)
        .try_init();
}

/// Runs `mesh` as the process was called. Exit codes: 0 done, 1 refused, 2 usage, 3 unavailable, 70 bug.
pub fn main() -> ExitCode {
    stop_quietly_without_a_reader();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => return fail(&e.into(), false),
    };
    let code = runtime.block_on(run(std::env::args_os().collect()));
    // A read of stdin may still block one of its threads.
    runtime.shutdown_background();
    code
}

/// The whole command, as of the catalogue this machine last saw of its relay.
pub fn command_of(globals: &Globals) -> Result<Command> {
    let home = Home::find(globals.home.as_deref())?;
    let relay = relay(&home, globals.relay.clone());
    Ok(command(&Catalogue::current(&home, &relay), &[]))
}

async fn run(mut words: Vec<OsString>) -> ExitCode {
    if words.len() < 2 {
        words.push("--help".into());
    }
    let before = Before::parsing(&words);
    let home = match Home::find(before.home.as_deref()) {
        Ok(home) => home,
        Err(e) => return fail(&e, before.json),
    };
    let relay = relay(&home, before.relay.clone());
    let mut catalogue = Catalogue::current(&home, &relay);
    let mut parsed = parse(&catalogue, &words, &before.options);
    if parsed
        .as_ref()
        .is_err_and(|e| may_be_newer_than_we(e.kind()))
        && let Some(newer) = catalogues::now(&home, &relay, before.ca.clone()).await
    {
        catalogue = newer;
        parsed = parse(&catalogue, &words, &before.options);
    }
    let outcome = match parsed {
        Ok(matches) => dispatch(&catalogue, &matches).await,
        Err(e) if before.json && e.use_stderr() => {
            let command = command(&catalogue, &[]);
            Err(usage(&e).hint(mistakes::help(&command, &words)))
        }
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    outcome.map_or_else(|e| fail(&e, before.json), |()| ExitCode::SUCCESS)
}

fn parse(
    catalogue: &Catalogue,
    words: &[OsString],
    options: &[String],
) -> std::result::Result<ArgMatches, clap::Error> {
    let command = command(catalogue, options);
    let words = mistakes::as_verbs(&command, catalogue, words);
    let parsed = command.clone().try_get_matches_from(&words);
    parsed.map_err(|error| mistakes::explained(error, &command, catalogue, &words))
}

async fn dispatch(catalogue: &Catalogue, matches: &ArgMatches) -> Result<()> {
    let globals = Globals::given(matches).map_err(|e| usage(&e))?;
    let Some((name, inner)) = matches.subcommand() else {
        return Err(Error::usage("which command?").hint("mesh --help"));
    };
    if let Some(outcome) = run_local(name, inner, &globals).await {
        return outcome;
    }
    let (path, inner) = match inner.subcommand() {
        Some((second, inner)) => (vec![name, second], inner),
        None => (vec![name], inner),
    };
    let function = verbs::function(catalogue, &path);
    // A relay must not have what is to be sealed said by another call, in the open.
    let ours = verbs::function(Catalogue::ours(), &path).filter(|ours| ours.seals());
    if let (Some(ours), Some(theirs)) = (ours, function)
        && ours.name != theirs.name
    {
        let message = format!(
            "the relay means {} by `mesh {}`, where this program means {}",
            text::clean_line(&theirs.name),
            path.join(" "),
            ours.name
        );
        return Err(Error::new(409, message).hint("mesh doctor"));
    }
    match function {
        Some(function) => call::run(function, inner, &globals).await,
        None => Err(Error::usage(format!("no command {}", path.join(" "))).hint("mesh --help")),
    }
}

/// `options` as in [`verbs::add`].
fn command(catalogue: &Catalogue, options: &[String]) -> Command {
    let command = Globals::augment_args(Command::new("mesh")).mut_args(|arg| {
        arg.help_heading("Options of every command")
            .hide_env_values(true)
    });
    help::group(
        verbs::add(add_local(command), catalogue, options),
        catalogue,
    )
}

/// What must be known before the command line can be parsed, because it decides which commands there are.
#[derive(Default)]
struct Before {
    relay: Option<String>,
    home: Option<PathBuf>,
    ca: Option<PathBuf>,
    json: bool,
    /// All options, without dashes and values.
    options: Vec<String>,
}

impl Before {
    fn parsing(words: &[OsString]) -> Before {
        let mut before = Before::default();
        let mut words = words.iter().skip(1).map(|word| word.to_string_lossy());
        while let Some(word) = words.next() {
            let (name, value) = word
                .split_once('=')
                .map_or((&*word, None), |(name, value)| {
                    (name, Some(value.to_owned()))
                });
            match name {
                "--" => break,
                "--json" => before.json = true,
                "--relay" => before.relay = value.or_else(|| words.next().map(Into::into)),
                "--home" => {
                    before.home = value
                        .or_else(|| words.next().map(Into::into))
                        .map(PathBuf::from)
                }
                "--ca" => {
                    before.ca = value
                        .or_else(|| words.next().map(Into::into))
                        .map(PathBuf::from)
                }
                "--mesh" => {
                    value.or_else(|| words.next().map(Into::into));
                }
                _ => {}
            }
            before
                .options
                .extend(name.strip_prefix("--").map(str::to_owned));
        }
        before.relay = before.relay.or_else(|| globals::variable("MESH_RELAY"));
        before.ca = before
            .ca
            .or_else(|| globals::variable("MESH_CA").map(PathBuf::from));
        before
    }
}

/// The relay whose commands are shown: the one given, else that of the workspace this is called in, of the configuration,
/// of the only credentials. What a call then uses is for its credential to say; this one costs no keychain.
fn relay(home: &Home, given: Option<String>) -> String {
    let config = home.config().unwrap_or_default();
    let here = std::env::current_dir().unwrap_or_default();
    let workspace = context::workspace(&config, &here).map(|w| w.relay.clone());
    let mut relays: Vec<String> = config.credentials.into_iter().map(|c| c.relay).collect();
    relays.dedup();
    let only = relays.pop().filter(|_| relays.is_empty());
    given
        .and_then(|url| rpc::relay_url(&url).ok())
        .or(workspace)
        .or(config.relay)
        .or(only)
        .unwrap_or_else(|| context::DEFAULT_RELAY.to_owned())
}

/// Whether a relay newer than the catalogue kept here could know what this command line says.
fn may_be_newer_than_we(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument
    )
}

fn usage(e: &clap::Error) -> Error {
    let text = e.render().to_string();
    let (mut said, tips): (Vec<_>, Vec<_>) = text
        .split("\n\n")
        .take_while(|part| !part.starts_with("Usage: "))
        .partition(|part| !part.trim_start().starts_with("tip: "));
    said.truncate(1);
    let tips = tips.iter().flat_map(|part| part.lines()).map(str::trim);
    let message: Vec<_> = said.iter().map(|part| part.trim()).chain(tips).collect();
    Error::usage(message.join("\n").trim_start_matches("error: ").to_owned()).hint("mesh --help")
}

fn fail(error: &Error, as_json: bool) -> ExitCode {
    output::error(error, as_json);
    ExitCode::from(error.exit_code())
}

/// `mesh … | head`: a print that finds nobody reading ends the process and is no panic; one that fails otherwise is an
/// error. The signal SIGPIPE stays ignored, because a socket whose other end is gone must not end a relay.
fn stop_quietly_without_a_reader() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if !said.starts_with("failed printing to") {
            return report(panic);
        }
        // EPIPE, and the two words Windows has for it.
        if ["(os error 32)", "(os error 109)", "(os error 232)"]
            .iter()
            .any(|code| said.contains(code))
        {
            std::process::exit(0);
        }
        let _ = writeln!(std::io::stderr(), "error: {said}");
        std::process::exit(70);
    }));
}
