//! An agent's key and identity out of a machine's files, for clients of the tests' own.

use super::{Machine, postgres::Database, relay::Relay};
use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Who calls: the bearer, and what signs.
pub struct Agent {
    pub token: String,
    mesh_id: String,
    identity: SigningKey,
}

impl Agent {
    /// The only agent of a machine that keeps its keys in files.
    pub fn of(machine: &Machine) -> Agent {
        let read = |path: &str| -> Value {
            let text = std::fs::read_to_string(machine.file(path)).expect("a file of the machine");
            serde_json::from_str(&text).expect("JSON")
        };
        let config = read("config.json");
        let credentials = config["credentials"].as_array().expect("credentials");
        let credential = credentials
            .iter()
            .find(|c| c["kind"] == "agent")
            .expect("an agent");
        let kept = read(&format!("keys/{}", credential["id"].as_str().expect("id")));
        let seed = HEXLOWER
            .decode(kept["identity"].as_str().expect("identity").as_bytes())
            .expect("hex");
        Agent {
            token: machine.token(),
            mesh_id: credential["mesh_id"].as_str().expect("a mesh").to_owned(),
            identity: SigningKey::from_bytes(&seed.try_into().expect("32 bytes")),
        }
    }

    /// One made by the caller, who has put this identity under an account's signature.
    pub fn new(token: String, mesh_id: String, identity: SigningKey) -> Agent {
        Agent {
            token,
            mesh_id,
            identity,
        }
    }

    /// A signed argument for a call in its mesh.
    pub fn sign(&self, function: &str, arguments: &Value) -> Value {
        let at = OffsetDateTime::now_utc()
            .replace_nanosecond(0)
            .expect("0 is valid");
        let document = serde_json_canonicalizer::to_string(&json!({
            "function": function, "arguments": arguments, "mesh": self.mesh_id, "signed_at": at.format(&Rfc3339).expect("a date"),
        }))
        .expect("JSON");
        let signature = self
            .identity
            .sign(&[b"mesh/call/v1\0", document.as_bytes()].concat());
        json!({
            "document": document,
            "signer": HEXLOWER.encode(self.identity.verifying_key().as_bytes()),
            "signature": HEXLOWER.encode(&signature.to_bytes()),
        })
    }

    /// The arguments of open_session for the window with this session key.
    pub fn hello(&self, session_key: &str, takeover: bool) -> Value {
        let mut arguments = json!({"session_key": session_key, "takeover": takeover});
        arguments["hello"] = self.sign("open_session", &arguments);
        arguments
    }
}

/// A session key nobody has used.
pub fn session_key() -> String {
    HEXLOWER.encode(
        &[
            *uuid::Uuid::new_v4().as_bytes(),
            *uuid::Uuid::new_v4().as_bytes(),
        ]
        .concat(),
    )
}

/// A relay, and on it alice's mesh `proj` with the guests ann and bob.
pub struct Pair {
    pub relay: Relay,
    pub owner: Machine,
    pub ann: Agent,
    pub bob: Agent,
    /// ann's and bob's
    pub machines: [Machine; 2],
    pub database: Database,
}

impl Pair {
    pub fn new() -> Pair {
        let database = Database::new();
        let relay = Relay::start(&database.url("mesh_relay"));
        let owner = Machine::account(&relay.url(), &database, "alice");
        owner.open_mesh("proj");
        let machines = ["ann", "bob"].map(|name| Machine::guest(&owner, "proj", name));
        Pair {
            ann: Agent::of(&machines[0]),
            bob: Agent::of(&machines[1]),
            relay,
            owner,
            machines,
            database,
        }
    }

    /// A call that must succeed.
    pub fn call(&self, agent: &Agent, function: &str, arguments: Value) -> Value {
        let (status, answer) =
            self.relay
                .post(function, Some(&agent.token), &arguments.to_string());
        assert_eq!(status, 200, "{function}: {answer}");
        answer
    }

    /// Sends bob a message of ann's; its id.
    pub fn send(&self, message: &str) -> String {
        let sent = self.call(
            &self.ann,
            "send_message",
            json!({"to": "bob", "message": message}),
        );
        sent["message_id"].as_str().expect("an id").to_owned()
    }

    /// What ann is told of the message's way to bob.
    pub fn state(&self, message: &str) -> String {
        let told = self.call(&self.ann, "message_status", json!({"message_id": message}));
        told[0]["state"].as_str().expect("a state").to_owned()
    }

    /// What bob would take now, without taking it.
    pub fn peek(&self) -> Vec<String> {
        texts(&self.call(
            &self.bob,
            "check_messages",
            json!({"peek": true, "limit": 100}),
        ))
    }
}

/// The texts of an answer's messages.
pub fn texts(answer: &Value) -> Vec<String> {
    let messages = answer["messages"].as_array().expect("messages");
    messages
        .iter()
        .map(|m| m["message"].as_str().expect("text").to_owned())
        .collect()
}
