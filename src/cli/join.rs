//! `mesh join`: become an agent of somebody's mesh with an invite.

use super::{
    globals::Globals,
    login::{Place, ca_of, one, print_json, read_text, relay_of},
    text,
};
use crate::{
    crypto::{self, Secret, Signer},
    error::{Error, Result},
    home::{Credential, Home},
    keystore::{self, Held},
    pins::{Mesh, Pins},
    rpc::relay_url,
    sealing::certified,
};
use serde_json::{Value, json};

/// How many hex digits of the owner's key an invite has at least, if it has any.
const OWNER: usize = 32;

/// Join a mesh with an invite
///
/// Makes a key and an identity for the invited agent on this machine. No account is needed. Quote the URL: its end,
/// the secret, is a comment to some shells. Joining again with the same invite changes nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  mesh join 'https://mesh.example.org/join#mc_inv_…' --display-name Alice
  mesh join mc_inv_… --relay https://mesh.example.org")]
pub struct Args {
    /// The join URL, or the invite itself; - reads it from stdin
    #[arg(value_name = "url", allow_hyphen_values = true)]
    pub url: Option<String>,
    /// How people in the mesh see you
    #[arg(long, value_name = "text")]
    pub display_name: Option<String>,
}

pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let home = Home::find(globals.home.as_deref())?;
    let (named, secret) = match args.url.as_deref().and_then(split) {
        Some((relay, secret)) => (Some(relay.to_owned()), Some(secret.to_owned())),
        None => (None, args.url.clone()),
    };
    let relay = match (&globals.relay, named) {
        (None, Some(relay)) => relay_url(&relay)?,
        _ => relay_of(globals, &home.config()?)?,
    };
    let text = read_text(secret, "Invite: ")?;
    // Of the owner's key, which no relay can then replace by its own.
    let (text, owner) = match text.trim().split_once('.') {
        Some((text, owner)) => (text, Some(owner)),
        None => (text.trim(), None),
    };
    let invite = Secret::parse(text)?;
    if !invite.is_invite() {
        return Err(Error::new(400, "that is a key, not an invite").hint("mesh login"));
    }
    let place = Place {
        home: &home,
        relay: &relay,
        ca: ca_of(globals)?.or(home.config()?.ca),
    };
    let (credential, already) = join(&place, &invite, owner, args.display_name.as_deref()).await?;
    if let Some(ca) = ca_of(globals)? {
        home.update(|config| config.ca = Some(ca))?;
    }
    report(&credential, already, globals);
    Ok(())
}

/// Redeems the invite, or finds that this machine has done so. The new key is stored before it is sent, so a crash or
/// a lost answer loses nothing. True when there was nothing to do.
async fn join(
    place: &Place<'_>,
    invite: &Secret,
    owner: Option<&str>,
    display_name: Option<&str>,
) -> Result<(Credential, bool)> {
    let id = format!("join-{}", invite.prefix());
    let stored = Held::load(place.home, &id).await?;
    if let Some(stored) = &stored
        && let Some(who) = place.whoami_if_known(&stored.key).await?
    {
        pin(place, stored, invite, owner, &who).await?;
        let entered = place.home.config()?.credentials.iter().any(|c| c.id == id);
        return Ok((place.enter(id, &who).await?, entered));
    }
    let held = stored
        .clone()
        .filter(|held| held.identity.is_some())
        .unwrap_or_else(|| Held {
            key: Secret::generate("mc_"),
            identity: Some(Signer::generate()),
        });
    held.store(place.home, &id).await?;
    let mut arguments = one("identity_key", held.signer().public_key().into());
    arguments.insert("secret".into(), held.key.registration());
    if let Some(name) = display_name {
        arguments.insert("display_name".into(), name.into());
    }
    let client = place.client(Some(invite))?.bound_to_mesh().await?;
    let certificate = invite.signer().sign_call(
        "redeem_invite",
        &Value::Object(arguments.clone()),
        client.target.mesh.as_deref(),
    );
    arguments.insert("certificate".into(), certificate);
    if let Err(error) = client.call("redeem_invite", &arguments).await {
        if stored.is_none() && (400..500).contains(&error.status()) {
            keystore::delete(place.home, &id).await?;
        }
        return Err(error);
    }
    let who = place.whoami(&held.key).await?;
    pin(place, &held, invite, owner, &who).await?;
    Ok((place.enter(id, &who).await?, false))
}

/// Pins the owner of the mesh: who signed the invite that this machine holds, and through it this agent's identity, with
/// the key that the invite says it has. ME403 when the relay names somebody else.
async fn pin(
    place: &Place<'_>,
    held: &Held,
    invite: &Secret,
    expected: Option<&str>,
    who: &Value,
) -> Result<()> {
    let (Some(mesh_id), Some(agent_id)) = (who["mesh_id"].as_str(), who["agent_id"].as_str())
    else {
        return Err(
            Error::new(403, "the relay says that who joined is no agent")
                .hint("ask who invited you"),
        );
    };
    let asked = one("agent_ids", json!([agent_id]));
    let client = place.client(Some(&held.key))?;
    let rows = client.call("list_identities", &asked).await?;
    let row = rows.as_array().and_then(|rows| rows.first());
    let chain = row.map_or(&Value::Null, |row| &row["chain"]);
    let refused = |why: String| {
        let message = format!("this invite was not made by the owner whom the relay names: {why}");
        Error::new(403, message).hint("ask who invited you")
    };
    let owner = crypto::verify_chain(chain).map_err(refused)?;
    let mesh = Mesh {
        owner_key: owner.clone(),
        ..Mesh::default()
    };
    let name = who["agent"].as_str().unwrap_or_default();
    certified(&mesh, mesh_id, name, &held.signer().public_key(), chain).map_err(refused)?;
    let introduces = |link: &Value| {
        let document: Option<Value> = link["document"]
            .as_str()
            .and_then(|d| serde_json::from_str(d).ok());
        document
            .is_some_and(|d| d["arguments"]["invite"]["public_key"] == invite.signer().public_key())
    };
    if !chain.as_array().into_iter().flatten().any(introduces) {
        return Err(refused("it is another invite".into()));
    }
    let is_expected = expected.is_none_or(|begin| begin.len() >= OWNER && owner.starts_with(begin));
    if !is_expected || who["owner_key"].as_str().is_some_and(|key| key != owner) {
        return Err(refused("its key is another".into()));
    }
    let first = chain[0]["document"].as_str().unwrap_or_default();
    let first: Value = serde_json::from_str(first).unwrap_or_default();
    let is_sealed = first["arguments"]["mode"] == "sealed";
    if is_sealed && who["mode"] != "sealed" {
        let message = "this invite is to a sealed mesh, and the relay says that it is open";
        return Err(Error::new(403, message).hint("ask who invited you"));
    }
    let pins = Pins::new(place.home);
    if is_sealed || who["mode"] == "sealed" {
        pins.want(mesh_id, true)?;
    }
    pins.own(mesh_id, who["mesh"].as_str().unwrap_or_default(), &owner)
}

fn report(credential: &Credential, already: bool, globals: &Globals) {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    let (agent, mesh, owner) = (
        part(&credential.agent),
        part(&credential.mesh),
        part(&credential.owner),
    );
    let next = format!("mesh run {agent}");
    if globals.json {
        let answer = json!({"agent": agent, "mesh": mesh, "mesh_id": credential.mesh_id, "owner": owner,
            "relay": credential.relay, "already": already, "next": next});
        return print_json(&answer);
    }
    let verb = if already { "You had joined" } else { "Joined" };
    println!(
        "{verb} {} of {} as {}.",
        text::clean(&mesh),
        text::clean(&owner),
        text::clean(&agent)
    );
    println!("Next: {next}");
}

/// The relay and the secret of a join URL.
fn split(url: &str) -> Option<(&str, &str)> {
    let (page, secret) = url.trim().split_once('#')?;
    let page = page.trim_end_matches('/');
    Some((page.strip_suffix("/join").unwrap_or(page), secret))
}

#[cfg(test)]
mod tests {
    use super::split;
    use crate::{corpus::corpus, crypto::Secret};

    #[test]
    fn join_urls_come_apart() {
        assert_eq!(
            split("https://h:1/join#mc_inv_0"),
            Some(("https://h:1", "mc_inv_0"))
        );
        assert_eq!(
            split(" https://h/mesh/join/#mc_inv_0\n"),
            Some(("https://h/mesh", "mc_inv_0\n".trim()))
        );
        assert_eq!(split("mc_inv_0"), None);
    }

    #[test]
    fn every_invite_of_the_corpus_is_refused_without_repeating_it() {
        for (name, text, reason) in corpus("invite") {
            let Ok(text) = String::from_utf8(text) else {
                assert_eq!(reason, "no text", "{name}");
                continue;
            };
            let error = Secret::parse(split(&text).map_or(text.as_str(), |(_, secret)| secret))
                .err()
                .unwrap_or_else(|| panic!("{name} is taken"));
            assert_eq!(error.code, "ME400", "{name}");
            assert!(error.message.contains(&reason), "{name}: {error}");
            assert!(!error.message.contains("00010203"), "{name}: {error}");
        }
    }
}
