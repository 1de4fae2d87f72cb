//! `mesh status`: what this machine is, and to whom.

use super::{
    context::{self, Context, describe},
    globals::Globals,
    login::{print_json, relay_of},
    text,
};
use crate::{
    error::Result,
    home::{Config, Home},
    keystore,
    pins::Pins,
    rpc::{Client, Target},
};
use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Show the relay, who is signed in, the keys and the workspaces of this machine
///
/// Works without a relay too.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  mesh status
  mesh status --json")]
pub struct Args {}

pub async fn run(_: Args, globals: &Globals) -> Result<()> {
    let home = Home::find(globals.home.as_deref())?;
    let config = home.config()?;
    let context = context::resolve(globals).await;
    let relay = match &context {
        Ok(context) => context.client.relay().to_owned(),
        Err(_) => relay_of(globals, &config)?,
    };
    let ca = globals.ca.clone().or(config.ca.clone());
    let target = Target {
        relay: relay.clone(),
        ca,
        bearer: None,
        mesh: None,
    };
    let relay = relay_state(&relay, &Client::new(target)?).await;
    let you = match &context {
        Ok(context) => you(context, relay["state"] == "up").await,
        Err(error) => json!({"error": error.message, "hint": error.hint}),
    };
    let keystore = match keystore::backend(&home).await {
        Ok(backend) => {
            json!({"backend": backend, "why": keystore::reason(&home).await?, "place": place(&home, &backend)})
        }
        Err(error) => json!({"error": error.message, "hint": error.hint}),
    };
    let pins = Pins::new(&home);
    let mode = |mesh_id: &Option<String>| -> Option<&str> {
        let mesh = pins.mesh(mesh_id.as_deref()?).ok()?;
        let is_known = !mesh.owner_key.is_empty();
        is_known.then_some(if mesh.sealed { "sealed" } else { "open" })
    };
    let credentials: Vec<Value> = config
        .credentials
        .iter()
        .map(|credential| {
            let mut shown = json!(credential);
            shown["mode"] = mode(&credential.mesh_id).into();
            shown
        })
        .collect();
    let report = json!({
        "version": env!("CARGO_PKG_VERSION"), "home": home.root, "relay": relay, "you": you, "keystore": keystore,
        "credentials": credentials, "workspaces": config.workspaces,
    });
    match globals.json {
        true => print_json(&report),
        false => print(&report, &config),
    }
    Ok(())
}

async fn relay_state(url: &str, client: &Client) -> Value {
    match tokio::time::timeout(Duration::from_secs(5), client.get("/health")).await {
        Ok(Ok(health)) => {
            let state = if health["status"] == "ok" {
                "up"
            } else {
                "unavailable"
            };
            json!({"url": url, "state": state, "version": health["version"], "public_url": health["public_url"]})
        }
        Ok(Err(error)) => {
            json!({"url": url, "state": "unreachable", "why": error.message, "hint": error.hint})
        }
        Err(_) => {
            json!({"url": url, "state": "unreachable", "why": "no answer in 5 s", "hint": "mesh doctor"})
        }
    }
}

/// Whose key is in use, and whether the relay takes it.
async fn you(context: &Context, is_up: bool) -> Value {
    let Some(held) = &context.held else {
        return json!({"signed_in": false, "hint": "mesh login"});
    };
    let name = context
        .credential
        .as_ref()
        .map_or_else(|| "the key in the environment".into(), describe);
    let mut you = json!({"as": name, "key": held.key.prefix()});
    if is_up {
        match context.client.call("whoami", &Map::new()).await {
            Ok(who) => {
                you["signed_in"] = true.into();
                you["kind"] = who["kind"].clone();
            }
            Err(error) => {
                you["signed_in"] = false.into();
                you["why"] = error.message.into();
                you["hint"] = error.hint.into();
            }
        }
    }
    you
}

fn place(home: &Home, backend: &str) -> Value {
    match backend {
        "file" => json!(keystore::directory(home)),
        _ => Value::Null,
    }
}

fn print(report: &Value, config: &Config) {
    let of = |path: &str| {
        let found = report.pointer(path).filter(|v| !v.is_null());
        found.map(|v| {
            text::clean_line(
                v.as_str()
                    .map_or_else(|| v.to_string(), str::to_owned)
                    .as_str(),
            )
        })
    };
    let with = |first: Option<String>, more: &[Option<String>]| {
        let rest: Vec<String> = more
            .iter()
            .flatten()
            .filter(|t| !t.is_empty())
            .cloned()
            .collect();
        let first = first.unwrap_or_default();
        if rest.is_empty() {
            first
        } else {
            format!("{first} ({})", rest.join("; "))
        }
    };
    let run = |hint: Option<String>| hint.filter(|h| !h.is_empty()).map(|h| format!("run: {h}"));
    let relay = with(
        of("/relay/url"),
        &[
            of("/relay/state"),
            of("/relay/version").map(|v| format!("version {v}")),
            of("/relay/public_url")
                .filter(|url| Some(url) != of("/relay/url").as_ref())
                .map(|url| format!("public {url}")),
            of("/relay/why"),
            run(of("/relay/hint")),
        ],
    );
    let refused = of("/you/why").map(|why| format!("refused: {why}"));
    let you = with(
        of("/you/as")
            .or(of("/you/error"))
            .or(Some("not signed in".into())),
        &[
            of("/you/key").map(|k| format!("key {k}")),
            refused,
            run(of("/you/hint")),
        ],
    );
    let keystore = with(
        of("/keystore/backend").or(of("/keystore/error")),
        &[
            of("/keystore/why"),
            of("/keystore/place"),
            run(of("/keystore/hint")),
        ],
    );
    for (name, value) in [
        ("relay", relay),
        ("you", you),
        ("keystore", keystore),
        ("home", of("/home").unwrap_or_default()),
        ("version", of("/version").unwrap_or_default()),
    ] {
        println!("{name:<10}{value}");
    }
    let text = |value: &Option<String>| text::clean_line(value.as_deref().unwrap_or_default());
    table(
        &["key of", "kind", "mesh", "mode", "relay"],
        config.credentials.iter().enumerate().map(|(i, c)| {
            let name = c.agent.clone().or(c.account.clone());
            let mode = of(&format!("/credentials/{i}/mode")).unwrap_or_default();
            vec![
                text(&name),
                c.kind.clone(),
                text(&c.mesh),
                mode,
                c.relay.clone(),
            ]
        }),
    );
    table(
        &["workspace of", "mesh", "editor", "folder"],
        config.workspaces.iter().map(|w| {
            vec![
                w.agent.clone(),
                w.mesh.clone(),
                w.editor.clone(),
                w.path.display().to_string(),
            ]
        }),
    );
}

fn table(columns: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns);
    rows.for_each(|row| {
        table.add_row(row);
    });
    if !table.is_empty() {
        let lines: Vec<_> = table.lines().map(|line| line.trim().to_owned()).collect();
        println!("\n{}", lines.join("\n"));
    }
}
