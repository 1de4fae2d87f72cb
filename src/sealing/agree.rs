//! Holding what the server shows of a message against what its sender signed.

use super::{Me, Sealing, people::time_of, send::addresses};
use crate::{
    crypto::envelope::{Document, Reader, Unopened, recipients_hash},
    error::Result,
    pins::Mesh,
};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use time::{Duration, OffsetDateTime};

/// The members of a message in an inbox, beside its envelope.
pub const FRAME: [&str; 10] = [
    "message_id",
    "from",
    "from_kind",
    "to",
    "priority",
    "message",
    "mentions",
    "data",
    "reply_to",
    "sent_at",
];
/// How far the clocks of two machines may be apart.
const SKEW: Duration = Duration::minutes(10);

/// Who sealed a message, as pinned.
pub struct Sender {
    pub name: String,
    pub key: String,
    is_owner: bool,
    pub is_former: bool,
}

impl Sender {
    pub fn of(
        sealing: &Sealing,
        me: &Me,
        mesh: &Mesh,
        id: &str,
        row: &Map<String, Value>,
    ) -> std::result::Result<Sender, String> {
        let own = sealing.keys.signer.public_key();
        let (name, key, is_former) = match mesh.agents.get(id) {
            _ if id == me.agent_id => (me.agent.clone(), own, false),
            Some(agent) => (agent.name.clone(), agent.key.clone(), agent.former),
            None => {
                let from = row.get("from").and_then(Value::as_str);
                return Err(format!(
                    "nobody vouches for the key of {}",
                    from.unwrap_or("its sender")
                ));
            }
        };
        let is_owner = mesh.is_owner(&key);
        Ok(Sender {
            name,
            key,
            is_owner,
            is_former,
        })
    }
}

impl Sender {
    pub fn explain(&self, why: &Unopened) -> String {
        match why {
            Unopened::SignedBy => format!("{why}: if {0} has a new one, mesh trust {0}", self.name),
            other => other.to_string(),
        }
    }
}

/// Whether all that the server shows of a message is what its sender signed; else what is not.
pub fn agrees(
    me: &Me,
    row: &mut Map<String, Value>,
    occurrence: Option<&str>,
    document: &Document,
    sender: &Sender,
) -> std::result::Result<(), String> {
    if document.mesh != me.mesh {
        return Err("it is from another mesh".into());
    }
    is_in_its_place(me, row, document, occurrence)?;
    let signed = |name: &str| document.arguments.get(name).filter(|v| !v.is_null());
    let kind = if sender.is_owner { "person" } else { "agent" };
    let to = signed("to").map(addresses);
    let waits_for_role = to
        .iter()
        .flatten()
        .any(|address| address.starts_with("role:"));
    let reply_to = signed("reply_to").or(signed("message_id"));
    // As the server reads them, however the sender wrote them.
    let mentions = |value: &Value| {
        let names = addresses(value).into_iter();
        names
            .map(|name| name.trim_start_matches('@').to_owned())
            .collect::<BTreeSet<_>>()
    };
    let is_same = |shown: &Value, signed: &Value| match (shown.as_str(), signed.as_str()) {
        (Some(shown), Some(signed)) => shown.eq_ignore_ascii_case(signed),
        _ => shown == signed,
    };
    let differs = |name: &str, is_same: &dyn Fn(&Value) -> bool| match row.get(name) {
        Some(shown) if !is_same(shown) => Err(format!("its {name} was changed on the way")),
        _ => Ok(()),
    };
    differs("from", &|shown| *shown == sender.name)?;
    differs("from_kind", &|shown| *shown == kind)?;
    differs("to", &|shown| {
        to.as_ref().is_none_or(|to| addresses(shown) == *to)
    })?;
    differs("priority", &|shown| match signed("priority") {
        Some(priority) => is_same(shown, priority),
        None => waits_for_role || shown == "next",
    })?;
    differs("reply_to", &|shown| match reply_to {
        Some(id) => is_same(shown, id),
        None => shown.is_null() || to.is_none(),
    })?;
    differs("mentions", &|shown| {
        mentions(shown) == signed("mentions").map(mentions).unwrap_or_default()
    })?;
    differs("sent_at", &|shown| {
        let off = time_of(shown).map(|at| at - document.sent_at);
        occurrence.is_some() || off.is_some_and(|off| off.abs() <= SKEW)
    })?;
    Ok(())
}

impl Sealing {
    /// Takes out of a message what is only the server's word, when its sender named neither an address nor a message: whose
    /// answer it is, and to whom, unless that is one agent and the readers that were signed are that one and the sender.
    pub(super) fn drop_unsigned(
        &self,
        me: &Me,
        mesh: &Mesh,
        row: &mut Map<String, Value>,
        document: &Document,
        sender: &Sender,
    ) {
        let named = ["to", "reply_to", "message_id"];
        if named
            .iter()
            .any(|name| document.arguments.get(*name).is_some_and(|v| !v.is_null()))
        {
            return;
        }
        let to = row.get("to").and_then(Value::as_str).unwrap_or_default();
        if !self.is_only_reader(me, mesh, to, document, sender) {
            row.entry("to").and_modify(|to| *to = Value::Null);
        }
        row.entry("reply_to").and_modify(|id| *id = Value::Null);
    }

    /// Whether a message was sealed for its sender and an agent called `name`, and for nobody else.
    fn is_only_reader(
        &self,
        me: &Me,
        mesh: &Mesh,
        name: &str,
        document: &Document,
        sender: &Sender,
    ) -> bool {
        let own = self.keys.signer.public_key();
        let known = mesh.agents.iter();
        let known = known.map(|(id, agent)| (id, &agent.name, &agent.key));
        known
            .chain([(&me.agent_id, &me.agent, &own)])
            .filter(|(id, called, _)| *called == name && **id != document.sender)
            .any(|(id, _, key)| {
                let readers = [(&document.sender, &sender.key), (id, key)];
                let readers: Result<Vec<Reader>> = readers
                    .iter()
                    .map(|(id, key)| Reader::new(id, key))
                    .collect();
                readers.is_ok_and(|readers| recipients_hash(&readers) == document.recipients)
            })
    }
}

/// Whether a message is where its sender put it: under its own id, or at its time if it was scheduled.
fn is_in_its_place(
    me: &Me,
    row: &Map<String, Value>,
    document: &Document,
    occurrence: Option<&str>,
) -> std::result::Result<(), String> {
    let is_scheduled = ["at", "in", "cron"]
        .iter()
        .any(|name| document.arguments.get(*name).is_some_and(|v| !v.is_null()));
    let Some(id) = row.get("message_id") else {
        return (document.sender == me.agent_id)
            .then_some(())
            .ok_or_else(|| "it is not yours".to_owned());
    };
    match occurrence.map(|at| time_of(&at.into())) {
        None if is_scheduled => Err("it was scheduled, and comes without its time".into()),
        None if *id != document.id => Err("it is a replay: it was sent under another id".into()),
        Some(_) if !is_scheduled => Err("it is a replay: it was not scheduled".into()),
        Some(at) => {
            let is_due = |at: OffsetDateTime| {
                document.sent_at - SKEW <= at && at <= OffsetDateTime::now_utc() + SKEW
            };
            at.is_some_and(is_due)
                .then_some(())
                .ok_or_else(|| "it comes at another time than it was scheduled for".to_owned())
        }
        _ => Ok(()),
    }
}
