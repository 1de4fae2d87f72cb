//! Granting: boxing the keys of messages one can read for somebody who asks.

use super::{Exchange, Sealing, open::Content, send::object};
use crate::{
    crypto::envelope::{self, Reader},
    error::Result,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// How many messages are granted at a time.
const PAGE: usize = 200;
/// How many times, so that a relay which always has more comes to an end.
const PAGES: usize = 100;

/// What came of a grant.
#[derive(Default, Serialize)]
pub struct Granted {
    pub agent: String,
    pub messages: u64,
    /// Why some were left out, each once.
    pub left: BTreeSet<String>,
}

impl Sealing {
    /// Grants `agent` all it asks for that this machine can read and believes. ME409 when its key has changed.
    pub async fn grant(&self, exchange: &impl Exchange, agent: &str) -> Result<Granted> {
        let Some(me) = self.me(exchange).await? else {
            return Err(super::which_mesh(exchange).await);
        };
        self.must_hold_identity(&me)?;
        let mut granted = Granted {
            agent: agent.to_owned(),
            ..Granted::default()
        };
        let mut after = Value::Null;
        for _ in 0..PAGES {
            let asked = object(json!({"for": agent, "limit": PAGE, "after": after}));
            let rows = exchange.call("list_key_requests", &asked).await?;
            let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
            let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
                break;
            };
            // What cannot be granted stands in the way of nothing.
            after = last["message_id"].clone();
            let pinned = self.introduce(&me, first)?;
            let id = first["agent_id"].as_str().unwrap_or_default();
            let reader = Reader::new(id, &pinned.key)?;
            let mut boxes = Map::new();
            for row in rows {
                let mut row = row.clone();
                let content = Content::out_of(&mut row);
                match self.boxed(exchange, &me, &content, &row, &reader).await? {
                    Ok((message, own)) => _ = boxes.insert(message, own.into()),
                    Err(why) => _ = granted.left.insert(why),
                }
            }
            if !boxes.is_empty() {
                let given = json!({"agent": agent, "boxes": boxes, "identity_key": pinned.key});
                let answer = exchange.call("grant_key", &object(given)).await?;
                granted.messages += answer["granted"].as_u64().unwrap_or(0);
            }
            if rows.len() < PAGE {
                break;
            }
        }
        Ok(granted)
    }

    /// The box of one message for `reader`, or why there is none: what this machine does not believe, it hands on to nobody.
    async fn boxed(
        &self,
        exchange: &impl Exchange,
        me: &super::Me,
        content: &Content,
        row: &Value,
        reader: &Reader,
    ) -> Result<std::result::Result<(String, String), String>> {
        let document = match envelope::document_of(&content.envelope) {
            Ok(document) => document,
            Err(why) => return Ok(Err(why.to_string())),
        };
        self.meet(exchange, me, BTreeSet::from([document.sender.clone()]))
            .await?;
        let mesh = self.mesh(me)?;
        let sender_key = match mesh.agents.get(&document.sender) {
            _ if document.sender == me.agent_id => self.keys.signer.public_key(),
            Some(sender) => sender.key.clone(),
            None => return Ok(Err("nobody vouches for the key of its sender".into())),
        };
        let Some(id) = row["message_id"].as_str() else {
            return Ok(Err("it has no id".into()));
        };
        if document.mesh != me.mesh || (content.occurrence.is_none() && document.id != id) {
            return Ok(Err("it is not the message it is said to be".into()));
        }
        let own = envelope::rebox(&content.envelope, &self.keys.signer, &sender_key, reader);
        Ok(own
            .map(|own| (id.to_owned(), own))
            .map_err(|why| why.to_string()))
    }
}
