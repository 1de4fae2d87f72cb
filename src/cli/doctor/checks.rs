//! The checks of `mesh doctor`, one function each.

use super::{
    super::{context, globals::Globals, login::relay_of},
    Fail, Finding, Good, Warn, failed, finding,
};
use crate::{
    error::Error,
    home::{self, Config, Home, Workspace},
    keystore,
    rpc::{Answer, Client, Target},
};
use serde_json::{Map, Value};
use std::{path::Path, time::Duration};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// config.json can be read; the defaults when it cannot.
pub fn check_config(home: &Home, findings: &mut Vec<Finding>) -> Config {
    let path = home.config_path();
    match home.config() {
        Ok(config) => {
            findings.push(finding("config", Good, path.display().to_string(), ""));
            config
        }
        Err(error) => {
            let fix = format!(
                "correct it, or move it away and sign in again: mv {0} {0}.broken",
                path.display()
            );
            findings.push(finding("config", Fail, error.message, fix));
            Config::default()
        }
    }
}

/// Config and keys must be readable by their owner only.
pub fn check_modes(home: &Home) -> Vec<Finding> {
    let keys = keystore::directory(home);
    // Others may pass through the home (a private PostgreSQL of root runs below it), but not look into it.
    let mut paths = vec![
        (home.root.clone(), 0o066, "700", Warn),
        (home.config_path(), 0o077, "600", Warn),
        (keys.clone(), 0o077, "700", Fail),
    ];
    if let Ok(entries) = std::fs::read_dir(&keys) {
        paths.extend(
            entries
                .flatten()
                .map(|entry| (entry.path(), 0o077, "600", Fail)),
        );
    }
    let loose: Vec<_> = paths
        .into_iter()
        .filter_map(|(path, wrong, right, verdict)| {
            let mode = home::loose_mode(&path)
                .ok()?
                .filter(|mode| mode & wrong != 0)?;
            let message = format!("{} has mode {mode:03o}: others can read it", path.display());
            Some(finding(
                "modes",
                verdict,
                message,
                format!("chmod {right} {}", path.display()),
            ))
        })
        .collect();
    match loose.is_empty() {
        true => vec![finding(
            "modes",
            Good,
            "config and keys are readable by you only",
            "",
        )],
        false => loose,
    }
}

pub async fn check_keystore(home: &Home) -> Finding {
    let backend = match keystore::backend(home).await {
        Ok(backend) => backend,
        Err(error) => return failed("keystore", error),
    };
    let id = format!("probe-{}", uuid::Uuid::new_v4().simple());
    let round = async {
        keystore::put(home, &id, &id).await?;
        let read = keystore::get(home, &id).await?;
        keystore::delete(home, &id).await?;
        Ok::<bool, Error>(read.is_some_and(|value| value.as_str() == id))
    };
    let why = keystore::reason(home).await.unwrap_or_default();
    match round.await {
        Ok(true) => finding("keystore", Good, format!("{backend} ({why})"), ""),
        Ok(false) => finding(
            "keystore",
            Fail,
            format!("{backend} gives back something else than it was given"),
            "",
        ),
        Err(error) if backend == "keyring" => {
            let fix = "unlock the keychain, or set MESH_KEYSTORE=file and sign in again";
            finding("keystore", Fail, error.message, fix)
        }
        Err(error) => failed("keystore", error),
    }
}

pub async fn check_relay(globals: &Globals, config: &Config, findings: &mut Vec<Finding>) {
    let context = context::resolve(globals).await;
    let relay = match &context {
        Ok(context) => Ok(context.client.relay().to_owned()),
        Err(_) => relay_of(globals, config),
    };
    let ca = globals.ca.clone().or(config.ca.clone());
    let client = relay.and_then(|relay| {
        Client::new(Target {
            relay,
            ca,
            bearer: None,
            mesh: None,
        })
    });
    let client = match client {
        Ok(client) => client,
        Err(error) => return findings.push(failed("relay", error)),
    };
    let answer = match tokio::time::timeout(Duration::from_secs(10), client.probe("/health")).await
    {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return findings.push(failed("relay", error)),
        Err(_) => {
            let message = format!("{} does not answer in 10 s", client.relay());
            return findings.push(finding(
                "relay",
                Fail,
                message,
                "check the address, the network and the firewall",
            ));
        }
    };
    findings.push(check_version(client.relay(), &answer.body));
    findings.push(match answer.body["status"] == "ok" {
        true => finding(
            "database",
            Good,
            "the relay's database is there and up to date",
            "",
        ),
        false => finding(
            "database",
            Fail,
            format!(
                "the relay answers {}: its database is away or not migrated",
                answer.status
            ),
            "on the relay's machine: mesh migrate, and see its log",
        ),
    });
    findings.push(check_clock(&answer));
    findings.push(match context {
        Ok(context) if context.held.is_none() => finding(
            "sign-in",
            Warn,
            "no key for this relay is on this machine",
            "mesh login",
        ),
        Ok(context) => match context.client.call("whoami", &Map::new()).await {
            Ok(who) => {
                let name = who["agent"]
                    .as_str()
                    .or(who["account"].as_str())
                    .unwrap_or("somebody");
                finding(
                    "sign-in",
                    Good,
                    format!("as {name} ({})", who["kind"].as_str().unwrap_or("?")),
                    "",
                )
            }
            Err(error) => failed("sign-in", error),
        },
        Err(error) => failed("sign-in", error),
    });
}

fn check_version(url: &str, health: &Value) -> Finding {
    let (mine, theirs) = (
        env!("CARGO_PKG_VERSION"),
        health["version"].as_str().unwrap_or("unknown"),
    );
    let message = format!("{url}, version {theirs}");
    match theirs == mine {
        true => finding("relay", Good, message, ""),
        false => finding(
            "relay",
            Warn,
            format!("{message}; this is mesh {mine}"),
            "run the same version on both sides",
        ),
    }
}

/// Signed calls more than five minutes off are refused.
fn check_clock(answer: &Answer) -> Finding {
    let parsed = answer
        .date
        .as_deref()
        .and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok());
    let Some(theirs) = parsed else {
        return finding("clock", Warn, "the relay does not say what time it is", "");
    };
    let off = (OffsetDateTime::now_utc() - theirs).whole_seconds();
    let message = format!("{} s from the relay's", off.abs());
    let fix = "set the clock of this machine or of the relay's: timedatectl set-ntp true";
    match off.unsigned_abs() {
        0..=60 => finding("clock", Good, message, ""),
        61..=240 => finding("clock", Warn, message, fix),
        _ => finding(
            "clock",
            Fail,
            format!("{message}: signed calls are refused"),
            fix,
        ),
    }
}

/// The workspace is there and its `.mcp.json` starts a mesh that exists.
pub fn check_workspace(workspace: &Workspace) -> Finding {
    let name = format!("{} in {}", workspace.agent, workspace.mesh);
    let repair = format!("mesh setup {} --mesh {}", workspace.agent, workspace.mesh);
    let file = workspace.path.join(".mcp.json");
    let fail = |why: String| finding("workspace", Fail, format!("{name}: {why}"), repair.clone());
    if !workspace.path.is_dir() {
        let message = format!("{name}: {} is gone", workspace.path.display());
        return finding(
            "workspace",
            Warn,
            message,
            format!("mesh run {}", workspace.agent),
        );
    }
    if workspace.editor != "claude" && !file.exists() {
        return finding(
            "workspace",
            Good,
            format!("{name}: {}", workspace.path.display()),
            "",
        );
    }
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(e) => return fail(format!("{}: {e}", file.display())),
    };
    let Ok(settings) = serde_json::from_str::<Value>(&text) else {
        return fail(format!("{} is no JSON", file.display()));
    };
    let Some(command) = settings["mcpServers"]["mesh"]["command"].as_str() else {
        return fail(format!("{} has no server mesh", file.display()));
    };
    let mine = std::env::current_exe()
        .and_then(|path| path.canonicalize())
        .ok();
    match Path::new(command).canonicalize() {
        Err(_) => fail(format!(
            "{} starts {command}, which is not there",
            file.display()
        )),
        Ok(path) if Some(&path) != mine.as_ref() => finding(
            "workspace",
            Warn,
            format!("{name}: starts another binary, {command}"),
            repair,
        ),
        Ok(_) => finding(
            "workspace",
            Good,
            format!("{name}: {}", workspace.path.display()),
            "",
        ),
    }
}
