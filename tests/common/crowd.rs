//! Many agents at once, made by SQL: how agents join is tested elsewhere.

use super::agent::Agent;
use super::http::Line;
use super::{Machine, postgres::Database, relay::Relay};
use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;
use serde_json::Value;

/// alice's mesh `proj` with agents `a0`, `a1`, … and nobody else but her.
pub struct Crowd {
    pub database: Database,
    mesh_id: String,
}

/// All have one identity: it only has to be signed with.
fn identity() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

pub fn name(number: usize) -> String {
    format!("a{number}")
}

/// The number of the agent with this name, as an answer has it.
pub fn number(name: &Value) -> usize {
    let name = name.as_str().expect("a name");
    name[1..].parse().expect("an agent of the crowd")
}

pub fn token(number: usize) -> String {
    format!("mt_{}", name(number))
}

impl Crowd {
    /// A crowd and a relay for it.
    pub fn new(agents: usize) -> (Crowd, Relay) {
        let database = Database::new();
        let relay = Relay::start(&database.url("mesh_relay"));
        let owner = Machine::account(&relay.url(), &database, "alice");
        owner.open_mesh("proj");
        let key = HEXLOWER.encode(identity().verifying_key().as_bytes());
        let mesh_id = database.value(&format!(
            "with crowd as (
               insert into mesh_data.agent (mesh_id, member_id, name, identity_key)
               select b.mesh_id, b.member_id, 'a' || n, decode('{key}', 'hex')
               from mesh_data.member b, generate_series(0, {agents} - 1) n
               returning *
             ), active as (
               insert into mesh_data.activity (agent_id, mesh_id) select agent_id, mesh_id from crowd
             ), known as (
               insert into mesh_data.key (kind, verifier, mesh_id, agent_id, member_id)
               select 'agent', sha256(convert_to('mt_' || name, 'UTF8')), mesh_id, agent_id, member_id from crowd
             )
             select mesh_id from mesh_data.mesh"
        ));
        (Crowd { database, mesh_id }, relay)
    }

    pub fn agent(&self, number: usize) -> Agent {
        Agent::new(token(number), self.mesh_id.clone(), identity())
    }

    /// All unacknowledged mail of an agent, taken: sender and text, in order.
    pub fn mail(&self, relay: &Relay, number: usize) -> Vec<(usize, String)> {
        let mut line = Line::open(relay.port).expect("the relay listens");
        let mut all = Vec::new();
        loop {
            let (status, answer) = line.call("check_messages", &token(number), r#"{"limit":100}"#);
            assert_eq!(status, 200, "{answer}");
            let messages = answer["messages"].as_array().expect("messages");
            if messages.is_empty() {
                return all;
            }
            all.extend(messages.iter().map(sender_and_text));
        }
    }
}

/// Who sent a message, and what.
pub fn sender_and_text(message: &Value) -> (usize, String) {
    let text = message["message"].as_str().expect("text").to_owned();
    (number(&message["from"]), text)
}
