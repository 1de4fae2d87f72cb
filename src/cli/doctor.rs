//! `mesh doctor`: what works on this machine, and the fix for what does not.

mod checks;

use super::{globals::Globals, login::print_json, text};
use crate::{
    error::{Error, Result},
    home::Home,
};
use checks::{check_config, check_keystore, check_modes, check_relay, check_workspace};
use serde::Serialize;
use serde_json::json;

/// Check the relay, its database, the keystore, the clock, the configuration and the workspaces
///
/// Says the fix for what is wrong. Ends with exit code 1 when something fails.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  mesh doctor
  mesh doctor --json")]
pub struct Args {}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

#[derive(Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    message: String,
    /// What to do; empty when nothing is wrong.
    fix: String,
}

use Verdict::{Fail, Ok as Good, Warn};

pub async fn run(_: Args, globals: &Globals) -> Result<()> {
    let home = Home::find(globals.home.as_deref())?;
    let mut findings = Vec::new();
    let config = check_config(&home, &mut findings);
    findings.push(check_keystore(&home).await);
    findings.extend(check_modes(&home));
    check_relay(globals, &config, &mut findings).await;
    findings.extend(config.workspaces.iter().map(check_workspace));

    let failed = findings.iter().filter(|f| f.verdict == Fail).count();
    if globals.json {
        print_json(&json!({"ok": failed == 0, "checks": findings}));
    } else {
        findings.iter().for_each(print);
    }
    match failed {
        0 => Ok(()),
        1 => Err(Error::new(409, "1 check failed")),
        n => Err(Error::new(409, format!("{n} checks failed"))),
    }
}

fn print(finding: &Finding) {
    let verdict = match finding.verdict {
        Good => "ok  ",
        Warn => "warn",
        Fail => "FAIL",
    };
    println!(
        "{verdict}  {:<10}{}",
        finding.check,
        text::clean_line(&finding.message)
    );
    if !finding.fix.is_empty() {
        println!("                fix: {}", text::clean_line(&finding.fix));
    }
}

fn finding(
    check: &'static str,
    verdict: Verdict,
    message: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    Finding {
        check,
        verdict,
        message: message.into(),
        fix: fix.into(),
    }
}

fn failed(check: &'static str, error: Error) -> Finding {
    let fix = if error.hint == "mesh doctor" {
        String::new()
    } else {
        error.hint
    };
    finding(check, Fail, error.message, fix)
}
