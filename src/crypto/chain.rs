//! The chain of certificates owner → invite → agent → session that every client checks.

use super::open_signed;
use serde_json::Value;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

/// How far two machines' clocks may be apart.
const SKEW: Duration = Duration::minutes(10);
const LONGEST: usize = 8;

/// What kind of key a link vouches for.
#[derive(Clone, Copy, PartialEq)]
enum Introduces {
    Invite,
    Agent,
    Session,
}

/// Checks a chain of signed objects, first the owner's. Ok(public key of the owner, 64 hex) or why it fails.
///
/// Each link must be signed by the key that the link before it introduces; an invite may only introduce an agent, and
/// within the days it was made for; all links are for one mesh, and those that name an agent name the same one. That the first signer *is* the
/// owner of the mesh is for the caller to compare.
pub fn verify_chain(chain: &Value) -> Result<String, String> {
    let links = chain.as_array().ok_or("a chain is an array")?;
    if links.is_empty() || links.len() > LONGEST {
        return Err(format!(
            "a chain has 1 to {LONGEST} links, not {}",
            links.len()
        ));
    }
    let mut owner = None;
    let mut agent: Option<String> = None;
    let mesh = &links[0]["document"];
    let mesh = mesh.as_str().map(mesh_of).unwrap_or_default();
    let mut before: Option<(Introduces, String, Option<OffsetDateTime>)> = None;
    for (at, link) in links.iter().enumerate() {
        let number = at + 1;
        let (document, signer) =
            open_signed(link).map_err(|why| format!("link {number}: {why}"))?;
        let arguments = &document["arguments"];
        let signed_at = signed_at(&document).ok_or_else(|| format!("link {number} has no time"))?;
        let (kind, key) = introduced(arguments)
            .ok_or_else(|| format!("link {number} introduces no key, or two"))?;

        if document["mesh"] != mesh {
            return Err(format!("link {number} is for another mesh"));
        }
        match &before {
            None => owner = Some(signer),
            Some((_, expected, _)) if *expected != signer => {
                return Err(format!(
                    "link {number} is signed by {}, not by {}",
                    short(&signer),
                    short(expected)
                ));
            }
            Some((earlier, _, until)) => {
                let fits = matches!(
                    (earlier, kind),
                    (Introduces::Invite, Introduces::Agent)
                        | (Introduces::Agent, Introduces::Session)
                );
                if !fits {
                    return Err(format!(
                        "link {number} introduces what the link before it may not"
                    ));
                }
                if until.is_some_and(|until| signed_at > until + SKEW) {
                    return Err(format!(
                        "link {number} was signed after its invite had expired"
                    ));
                }
            }
        }
        if let Some(name) = arguments["agent"].as_str() {
            match &agent {
                Some(other) if !other.eq_ignore_ascii_case(name) => {
                    return Err(format!(
                        "link {number} is for agent {name:?}, not {other:?}"
                    ));
                }
                _ => agent = Some(name.to_owned()),
            }
        }
        let until = (kind == Introduces::Invite)
            .then(|| last_moment(arguments, signed_at))
            .flatten();
        before = Some((kind, key, until));
    }
    owner.ok_or_else(|| "a chain has at least one link".to_owned())
}

fn mesh_of(document: &str) -> Value {
    serde_json::from_str::<Value>(document).map_or(Value::Null, |d| d["mesh"].clone())
}

fn introduced(arguments: &Value) -> Option<(Introduces, String)> {
    let candidates = [
        (Introduces::Invite, &arguments["invite"]["public_key"]),
        (Introduces::Agent, &arguments["identity_key"]),
        (Introduces::Session, &arguments["session_key"]),
    ];
    let mut found = candidates
        .into_iter()
        .filter_map(|(kind, key)| Some((kind, key.as_str()?.to_owned())));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

fn signed_at(document: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(document["signed_at"].as_str()?, &Rfc3339).ok()
}

/// Until when an invite may be redeemed; None when it says no days.
fn last_moment(arguments: &Value, signed_at: OffsetDateTime) -> Option<OffsetDateTime> {
    let seconds = (arguments["days"].as_f64()? * 86_400.0) as i64;
    signed_at.checked_add(Duration::seconds(seconds))
}

fn short(key: &str) -> &str {
    key.get(..12).unwrap_or(key)
}
