//! What is measured: a database in the scratch Postgres of `tests/postgres`, relays on it, an account with its meshes, agents.

use crate::client::{Socket, connect};
use crate::common::{Machine, agent::Agent, agent::session_key, postgres::Database, relay::Relay};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::SigningKey;
use futures_util::{StreamExt, TryStreamExt, stream};
use hkdf::Hkdf;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// So many calls of setting up are under way at once; a socket takes 64.
const AT_ONCE: usize = 32;
/// No limit of calls: one bearer stands for many agents' worth of work here.
const RELAY: &[&str] = &["--calls-per-second", "1000000"];

pub struct World {
    pub relay: Relay,
    pub database: Database,
    owner: Machine,
    account: SigningKey,
}

/// An agent and the session key of its window.
pub struct Member {
    pub name: String,
    pub agent: Agent,
    session_key: String,
}

impl World {
    pub fn new() -> World {
        let database = Database::new();
        unlimited(&database);
        let relay = Relay::start_with(&database.url("mesh_relay"), RELAY);
        let owner = Machine::account(&relay.url(), &database, "alice");
        let account = identity(&owner);
        World {
            relay,
            database,
            owner,
            account,
        }
    }

    /// One more relay on the same database.
    pub fn another_relay(&self) -> Relay {
        Relay::start_with(&self.database.url("mesh_relay"), RELAY)
    }

    /// A new mesh with so many agents, named a0, a1 and so on.
    pub async fn mesh(&self, name: &str, agents: usize) -> Vec<Member> {
        self.owner.open_mesh(name);
        let socket = connect(self.relay.port, &self.owner.token(), Some(name)).await;
        let caller = socket.expect("the relay listens").caller;
        let me = caller.call("whoami", &json!({})).await;
        let mesh_id = me["mesh_id"].as_str().expect("a mesh");
        // Whoever signs names the mesh; nothing else of it is used here.
        let account = Agent::new(String::new(), mesh_id.to_owned(), self.account.clone());
        let members = stream::iter(0..agents).map(|number| {
            let (caller, account) = (&caller, &account);
            async move {
                let name = format!("a{number}");
                caller.call("create_agent", &json!({"name": name})).await;
                let identity = SigningKey::from_bytes(&random());
                let token = format!("mt_{}", HEXLOWER.encode(&random()));
                let mut arguments = json!({
                    "agent": name,
                    "identity_key": HEXLOWER.encode(identity.verifying_key().as_bytes()),
                    "secret": {
                        "verifier": HEXLOWER.encode(&Sha256::digest(&token)),
                        "public_key": HEXLOWER.encode(&random()),
                    },
                });
                arguments["certificate"] = account.sign("create_agent_key", &arguments);
                caller.call("create_agent_key", &arguments).await;
                Member {
                    name,
                    agent: Agent::new(token, mesh_id.to_owned(), identity),
                    session_key: session_key(),
                }
            }
        });
        members.buffered(AT_ONCE).collect().await
    }
}

impl Member {
    /// Its window at the relay of this port, opened or resumed.
    pub async fn window(&self, port: u16) -> std::io::Result<Socket> {
        let socket = connect(port, &self.agent.token, None).await?;
        let hello = self.agent.hello(&self.session_key, false);
        let opened = socket.caller.start("open_session", &hello.to_string());
        match tokio::time::timeout(crate::client::PATIENCE, opened).await {
            Ok(Ok(answer)) => match answer.result {
                Ok(_) => Ok(socket),
                Err(error) => Err(std::io::Error::other(error.get().to_owned())),
            },
            _ => Err(std::io::Error::other("no answer to open_session")),
        }
    }
}

/// The windows of all of them.
pub async fn windows(members: &[Member], port: u16) -> Vec<Socket> {
    let open = stream::iter(members).map(|member| member.window(port));
    let all = open.buffered(AT_ONCE).try_collect().await;
    let all = all.expect("windows open");
    settled().await;
    all
}

/// Until the database knows where the windows are: relays report that at once, and it is no part of what is measured.
pub async fn settled() {
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
}

/// Turns off what limits a busy account, in a database that has such settings.
fn unlimited(database: &Database) {
    for column in ["daily_messages", "turns_per_minute"] {
        let exists = format!(
            "select count(*) from information_schema.columns
             where table_schema = 'mesh_data' and table_name = 'setting' and column_name = '{column}'"
        );
        if database.value(&exists) == "1" {
            database.value(&format!("update mesh_data.setting set {column} = 0"));
        }
    }
}

/// The identity of the only account on a machine that keeps its keys in files.
fn identity(machine: &Machine) -> SigningKey {
    let read = |path: &str| -> Value {
        let text = std::fs::read_to_string(machine.file(path)).expect("a file of the machine");
        serde_json::from_str(&text).expect("JSON")
    };
    let id = &read("config.json")["credentials"][0]["id"];
    let kept = read(&format!("keys/{}", id.as_str().expect("an id")));
    let key = kept["key"].as_str().expect("a key");
    let seed = HEXLOWER_PERMISSIVE.decode(&key.as_bytes()["mc_".len()..]);
    let mut derived = [0; 32];
    Hkdf::<Sha256>::new(None, &seed.expect("hex")[..20])
        .expand(b"mesh/identity/v1", &mut derived)
        .expect("32 bytes");
    SigningKey::from_bytes(&derived)
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    for half in bytes.chunks_mut(16) {
        half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    bytes
}
