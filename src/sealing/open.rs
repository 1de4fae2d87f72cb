//! Opening what others sealed, and saying why where that cannot be.

use super::{
    Arrived, Exchange, Me, Sealing,
    agree::{FRAME, Sender, agrees},
    people::time_of,
    send::object,
    settled::Frame,
    text,
};
use crate::{
    catalogue::{Catalogue, Function},
    crypto::envelope::{self, Document, Opened},
    error::{Error, Result},
    pins::Mesh,
};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

/// The member of a message that holds what is sealed, and the member where it is shown.
const ENVELOPE: &str = "envelope";
const MESSAGE: &str = "message";
pub const DATA: &str = "data";
/// Said of a message that is shown without what it says.
const NOT_FOR_YOU: &str = "(not for you)";
/// Why a message is not shown.
pub const UNOPENED: &str = "unopened";
/// Of what kind the sender of a server's own notice is.
pub const SERVER: &str = "server";

/// Whether a result of `function` may hold something sealed.
pub fn shows(function: &Function) -> bool {
    let is_ours = |kind: &str| matches!(kind, "mesh.frames" | "mesh.envelope");
    function.returns.kinds().any(|(_, kind)| is_ours(kind))
}

/// Where a message stands.
#[derive(Clone, Copy, PartialEq)]
enum Place<'a> {
    /// In the inbox, taken under this claim if it was; with what was known when it was asked for, and when it came.
    Inbox(Option<&'a str>, usize, Instant),
    /// In a list of what there was, with these columns.
    History(&'a [&'a str]),
}

impl Sealing {
    /// Opens what `function` returned, in place, and reports what could not be opened.
    pub(super) async fn open_result(
        &self,
        exchange: &impl Exchange,
        function: &Function,
        (me, asked, at): (&Me, usize, Instant),
        result: &mut Value,
    ) -> Result<()> {
        let kinds: Vec<_> = function.returns.kinds().collect();
        if kinds.iter().any(|(_, kind)| *kind == "mesh.envelope") {
            let rows = match &mut *result {
                Value::Array(rows) => rows.iter_mut().collect(),
                row => vec![row],
            };
            let known: Vec<&str> = function.returns.names().collect();
            self.open_rows(exchange, me, rows, Place::History(&known))
                .await?;
        }
        let claim = result["claim"].as_str().map(str::to_owned);
        for (name, _) in kinds.iter().filter(|(_, kind)| *kind == "mesh.frames") {
            let Some(frames) = result.get_mut(*name).filter(|frames| !frames.is_null()) else {
                continue;
            };
            let frames = frames
                .as_array_mut()
                .ok_or_else(|| Error::internal(format!("the relay's {name} are no list")))?;
            let rows = frames.iter_mut().collect();
            let place = Place::Inbox(claim.as_deref(), asked, at);
            self.open_rows(exchange, me, rows, place).await?;
        }
        Ok(())
    }

    /// A pushed message, opened or with the reason why not. ME503 when the relay went away before that was known.
    pub async fn open_pushed(&self, exchange: &impl Exchange, pushed: Arrived) -> Result<Value> {
        let Arrived {
            value: mut frame,
            at,
        } = pushed;
        let opened = async {
            let Some(me) = self.me(exchange).await? else {
                return Ok(());
            };
            let place = Place::Inbox(None, usize::MAX, at);
            self.open_rows(exchange, &me, vec![&mut frame], place).await
        };
        match opened.await {
            Err(error) if error.status() == 503 => return Err(error),
            // Nothing to report: it can be read once that is mended.
            Err(error) => close(&mut frame, &error.message),
            Ok(()) => {}
        }
        Ok(frame)
    }

    async fn open_rows(
        &self,
        exchange: &impl Exchange,
        me: &Me,
        mut rows: Vec<&mut Value>,
        place: Place<'_>,
    ) -> Result<()> {
        let taken: Vec<Content> = rows.iter_mut().map(|row| Content::out_of(row)).collect();
        let claimed: Vec<Option<Document>> = taken
            .iter()
            .map(|content| envelope::document_of(&content.envelope).ok())
            .collect();
        let senders = claimed.iter().flatten();
        let senders: BTreeSet<String> = senders.map(|document| document.sender.clone()).collect();
        self.meet(exchange, me, senders).await?;
        let mesh = self.mesh(me)?;
        let mut failed: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let ids = rows.iter().filter_map(|row| row["message_id"].as_str());
        let shown: BTreeSet<String> = ids.map(str::to_owned).collect();
        for ((row, content), claimed) in rows.iter_mut().zip(taken).zip(claimed) {
            let Err(why) = self.open_row(me, &mesh, row, content, place) else {
                continue;
            };
            close(row, &why);
            if let Place::Inbox(..) = place {
                let ids = failed.entry(why).or_default();
                ids.push(row["message_id"].clone());
                // The sender is to hear of it also where the server shows it under another id, unless it came under its own.
                let own = claimed.map(|document| document.id);
                let own = own.filter(|own| !shown.contains(own) && !me.settled.knows(own));
                ids.extend(own.map(Value::from));
                ids.retain(is_id);
            }
        }
        for (why, ids) in failed.into_iter().filter(|(_, ids)| !ids.is_empty()) {
            let arguments = object(json!({"message_ids": ids, "reason": why}));
            if let Err(error) = exchange.call("report_unopened", &arguments).await {
                tracing::debug!("what was not opened was not reported: {error}");
            }
        }
        Ok(())
    }

    /// Opens one message in place; why not. What is no envelope is left as it is where it may be plain.
    fn open_row(
        &self,
        me: &Me,
        mesh: &Mesh,
        row: &mut Value,
        content: Content,
        place: Place<'_>,
    ) -> std::result::Result<(), String> {
        let Some(row) = row.as_object_mut() else {
            return match mesh.sealed {
                true => Err("it is no message".into()),
                false => Ok(()),
            };
        };
        let Content {
            envelope,
            occurrence,
        } = content;
        if mesh.sealed {
            // What is neither signed nor known is not shown beside what is.
            match place {
                Place::Inbox(..) => row.retain(|name, _| FRAME.contains(&name.as_str())),
                Place::History(known) => row.retain(|name, _| known.contains(&name.as_str())),
            }
        }
        if envelope["notice"] == true {
            row.insert("from".into(), "mesh (server)".into());
            row.insert("from_kind".into(), SERVER.into());
            return Ok(());
        }
        if envelope.is_null() {
            plain(mesh, row)?;
            let is_history = matches!(place, Place::History(_));
            if mesh.sealed && is_history && row.get(MESSAGE).is_some_and(Value::is_null) {
                row.insert(MESSAGE.into(), NOT_FOR_YOU.into());
            }
            return Ok(());
        }
        let claimed = envelope::document_of(&envelope).map_err(|why| why.to_string())?;
        let sender = Sender::of(self, me, mesh, &claimed.sender, row)?;
        let opened = envelope::open(&envelope, &self.keys.signer, &sender.key);
        let Opened { document, body } = opened.map_err(|why| sender.explain(&why))?;
        let function = Catalogue::ours().function(&document.function);
        text::check(function, &body).map_err(|why| why.message)?;
        agrees(me, row, occurrence.as_deref(), &document, &sender)?;
        self.drop_unsigned(me, mesh, row, &document, &sender);
        if let Place::Inbox(claim, asked, at) = place
            && let Some(late) = taken(
                me,
                (claim, asked, at),
                row,
                occurrence.as_deref(),
                &document,
            )?
        {
            row.insert("late".into(), late.into());
        }
        show(row, body);
        if sender.is_former {
            row.insert("from".into(), format!("{} (former)", sender.name).into());
        }
        Ok(())
    }
}

/// What a message holds, and for which of its times if it was scheduled: the server's word.
pub struct Content {
    pub envelope: Value,
    pub occurrence: Option<String>,
}

impl Content {
    pub fn out_of(row: &mut Value) -> Content {
        let row = row.as_object_mut();
        let mut envelope = row
            .and_then(|row| row.shift_remove(ENVELOPE))
            .unwrap_or_default();
        let occurrence = envelope
            .as_object_mut()
            .and_then(|e| e.shift_remove("occurrence"));
        Content {
            envelope,
            occurrence: occurrence.and_then(|at| Some(at.as_str()?.to_owned())),
        }
    }
}

/// Plain text is believed in an open mesh, and in a sealed one if it is older than the sealing.
fn plain(mesh: &Mesh, row: &mut Map<String, Value>) -> std::result::Result<(), String> {
    let said = [MESSAGE, DATA]
        .iter()
        .any(|name| row.get(*name).is_some_and(|v| !v.is_null()));
    if !mesh.sealed || !said {
        return Ok(());
    }
    let sent_at = row.get("sent_at").and_then(time_of);
    let is_older = sent_at
        .zip(mesh.sealed_at)
        .is_some_and(|(sent, sealed)| sent < sealed);
    row.insert("sealed".into(), false.into());
    is_older
        .then_some(())
        .ok_or_else(|| "not sealed".to_owned())
}

/// Takes note of a message in the inbox; why it is a replay, or what came before it and was sent after it.
fn taken(
    me: &Me,
    (claim, asked, at): (Option<&str>, usize, Instant),
    row: &Map<String, Value>,
    occurrence: Option<&str>,
    document: &Document,
) -> std::result::Result<Option<String>, String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("-").to_owned();
    let is_once = document.arguments.get("cron").is_none_or(Value::is_null);
    let occurrence = match occurrence {
        Some(_) if is_once => "once".to_owned(),
        // However it is written.
        Some(at) => time_of(&at.into())
            .map_or(0, |at| at.unix_timestamp_nanos())
            .to_string(),
        None => "-".to_owned(),
    };
    let mentioned = row.get("mentions").and_then(Value::as_array);
    // Who is mentioned gets it now.
    let priority = match mentioned.is_some_and(|names| names.iter().any(|name| *name == me.agent)) {
        true => "now".to_owned(),
        false => text(row.get("priority")),
    };
    me.settled.take(&Frame {
        asked,
        at,
        claim: claim.unwrap_or("-").to_owned(),
        sender: document.sender.clone(),
        // An answer comes before its turn to who waits for it: it is held against those to the same question.
        queue: format!("{priority}/{}", text(row.get("reply_to"))),
        id: document.id.clone(),
        occurrence,
        message_id: text(row.get("message_id")),
    })
}

/// Puts what was sealed where it is read.
fn show(row: &mut Map<String, Value>, body: Map<String, Value>) {
    row.insert(MESSAGE.into(), Value::Null);
    if row.contains_key(DATA) {
        row.insert(DATA.into(), Value::Null);
    }
    for (name, value) in body {
        let place = if name == DATA { DATA } else { MESSAGE };
        row.insert(place.into(), value);
    }
    row.insert("sealed".into(), true.into());
}

fn is_id(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|id| uuid::Uuid::parse_str(id).is_ok())
}

/// Shows why there is nothing to read.
fn close(row: &mut Value, why: &str) {
    if !row.is_object() {
        *row = json!({});
    }
    let Some(row) = row.as_object_mut() else {
        return;
    };
    row.shift_remove(ENVELOPE);
    for name in [MESSAGE, DATA] {
        if row.contains_key(name) {
            row.insert(name.into(), Value::Null);
        }
    }
    row.entry("sealed").or_insert(true.into());
    row.insert(UNOPENED.into(), why.into());
}
