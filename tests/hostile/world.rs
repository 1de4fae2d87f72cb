//! alice's sealed mesh with ann and bob, who reach the real relay through one that lies.

use crate::{
    common::{Machine, editor::Editor, postgres::Database, relay::Relay},
    liar::Liar,
};
use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

pub struct World {
    pub liar: Liar,
    pub alice: Machine,
    pub ann: Machine,
    pub bob: Machine,
    _relay: Relay,
    pub database: Database,
}

impl World {
    pub fn new() -> World {
        let database = Database::new();
        let relay = Relay::start(&database.url("mesh_relay"));
        let liar = Liar::before(&relay);
        let alice = Machine::account(&liar.url, &database, "alice");
        alice.json(&["create", "proj", "--mode", "sealed"]);
        World {
            ann: Machine::guest(&alice, "proj", "ann"),
            bob: Machine::guest(&alice, "proj", "bob"),
            liar,
            alice,
            _relay: relay,
            database,
        }
    }

    /// Sends bob a message of ann's; its id.
    pub fn send(&self, text: &str) -> String {
        id(&self.ann.json(&["send", "bob", text]))
    }

    /// bob's mail.
    pub fn inbox(&self) -> Vec<Value> {
        let answer = self.bob.json(&["inbox", "--limit", "100"]);
        answer["messages"].as_array().expect("messages").clone()
    }

    /// Lets come at once what was put off because it could not be opened.
    pub fn no_delay(&self) {
        self.database.value(
            "update mesh_data.delivery set due_at = null where state in ('queued', 'delivered')",
        );
    }

    /// A window of `agent` on its machine.
    pub fn window(&self, machine: &Machine, agent: &str) -> Editor {
        let mut editor = Editor::on(machine, &["mcp", "--mesh", "proj", "--agent", agent]);
        editor.initialize("claude-code", "2025-11-25");
        editor.call("whoami", json!({}));
        editor
    }

    /// What ann is told of bob's copy of a message.
    pub fn status(&self, message: &str) -> Value {
        self.ann.json(&["message", "status", message])[0].clone()
    }
}

pub fn id(sent: &Value) -> String {
    let id = sent["message_id"].as_str();
    id.unwrap_or_else(|| panic!("sent: {sent}")).to_owned()
}

/// The frames that an answer or a push holds.
pub fn frames(body: &mut Value) -> Vec<&mut Value> {
    let object = body.as_object_mut().expect("an object");
    if object.contains_key("messages") {
        let messages = object["messages"].as_array_mut();
        return messages.expect("messages").iter_mut().collect();
    }
    object.get_mut("message").into_iter().collect()
}

/// The frame of the message with this id.
pub fn frame<'a>(body: &'a mut Value, id: &str) -> Option<&'a mut Value> {
    frames(body)
        .into_iter()
        .find(|frame| frame["message_id"] == id)
}

/// Whom none of the clients knows.
pub fn stranger() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

pub fn public(key: &SigningKey) -> String {
    HEXLOWER.encode(key.verifying_key().as_bytes())
}

/// A signed object as calls have it.
pub fn certificate(key: &SigningKey, mesh: &str, arguments: Value) -> Value {
    let document = canonical(
        &json!({"function": "create_agent_key", "arguments": arguments, "mesh": mesh,
        "signed_at": "2026-01-01T00:00:00Z"}),
    );
    signed(key, "mesh/call/v1\0", document)
}

fn signed(key: &SigningKey, context: &str, document: String) -> Value {
    let signature = key.sign(&[context.as_bytes(), document.as_bytes()].concat());
    json!({"signer": public(key), "signature": HEXLOWER.encode(&signature.to_bytes()), "document": document})
}

fn canonical(value: &Value) -> String {
    serde_json_canonicalizer::to_string(value).expect("JSON")
}

/// Changes what an envelope's sender signed, and leaves the signature.
pub fn document(frame: &mut Value, change: impl FnOnce(&mut Value)) {
    let text = &mut frame["envelope"]["document"];
    let mut document = serde_json::from_str(text.as_str().expect("a document")).expect("JSON");
    change(&mut document);
    *text = canonical(&document).into();
}

/// Signs an envelope as it is now with a stranger's key, which no session vouches for.
pub fn sign(frame: &mut Value) {
    let envelope = &mut frame["envelope"];
    let text = envelope["document"]
        .as_str()
        .expect("a document")
        .to_owned();
    let new = signed(&stranger(), "mesh/message/v1\0", text);
    envelope["signer"] = new["signer"].clone();
    envelope["signature"] = new["signature"].clone();
    envelope["attestation"] = Value::Null;
}
