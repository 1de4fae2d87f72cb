//! Sealing as a client does it: one flow for every call, driven by the types of the catalogue.
//!
//! Arguments of type `mesh.sealed` and `mesh.sealed_data` are sealed for the readers that the relay names and this machine
//! has checked; `mesh.frames`, `mesh.envelope` columns and pushed frames are opened, and what cannot be is shown with its
//! reason and reported. `people` knows whose key is whose, `send` seals, `open` opens what `agree` finds as it was signed,
//! `settled` remembers what was read, `text` says what may be said, `grant` lets others read what came before them.

mod agree;
mod grant;
mod open;
mod people;
mod send;
mod settled;
#[cfg(test)]
mod tests;
mod text;

use crate::{
    catalogue::{Catalogue, Function},
    crypto::{Signer, envelope::Reader},
    error::{Error, Result},
    fill,
    home::Home,
    pins::{self, Pins},
    seen,
};
pub use open::{SERVER, UNOPENED};
pub use people::certified;
use serde_json::{Map, Value, json};
use settled::Settled;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

/// What a relay said, and when it was read here: what is opened first need not have come first.
pub struct Arrived {
    pub value: Value,
    pub at: Instant,
}

impl Arrived {
    /// It was read just now.
    pub fn now(value: Value) -> Arrived {
        let at = Instant::now();
        Arrived { value, at }
    }
}

/// Makes plain calls, over HTTP or a socket.
pub trait Exchange: Sync {
    fn exchange(
        &self,
        function: &str,
        arguments: &Map<String, Value>,
    ) -> impl Future<Output = Result<Arrived>> + Send;

    /// The same where it does not matter when the answer came.
    fn call(
        &self,
        function: &str,
        arguments: &Map<String, Value>,
    ) -> impl Future<Output = Result<Value>> + Send {
        async { Ok(self.exchange(function, arguments).await?.value) }
    }
}

/// What signs for an agent here.
pub struct Keys {
    /// The agent's identity, or the account's.
    pub signer: Signer,
    /// Whether `signer` is only what the key itself derives: the identity of an account, and no agent's.
    pub is_bare: bool,
    pub session: Option<SessionKey>,
}

/// A session's key, and the hello that vouches for it: the last one that was sent.
#[derive(Clone)]
pub struct SessionKey {
    pub key: Signer,
    pub hello: Arc<Mutex<Value>>,
}

/// Seals and opens for one agent in one mesh.
pub struct Sealing {
    home: Home,
    pins: Pins,
    keys: Keys,
    /// The mesh to be in, by id or name, where that is known here.
    wanted: Option<String>,
    /// Once it was asked; None outside of a mesh.
    me: Mutex<Option<Option<Arc<Me>>>>,
    /// For whom the last message was sealed that went to the same addresses.
    readers: Mutex<HashMap<String, Vec<Reader>>>,
}

/// Who the relay says this is, as far as what is pinned agrees.
struct Me {
    mesh: String,
    agent_id: String,
    agent: String,
    is_account: bool,
    is_sealed: bool,
    settled: Settled,
}

/// Why nothing is sent with a key that means several meshes, or none: ME400, with those the relay names.
async fn which_mesh(exchange: &impl Exchange) -> Error {
    let meshes = exchange.call("list_meshes", &Map::new()).await;
    let meshes = meshes.unwrap_or_default();
    let meshes: Vec<_> = meshes.as_array().into_iter().flatten().collect();
    let name = |mesh: &&Value| {
        let name = mesh["mesh"].as_str()?;
        let is_one = meshes.iter().filter(|m| m["mesh"] == name).count() == 1;
        Some(match mesh["owner"].as_str() {
            Some(owner) if !is_one => format!("{owner}/{name}"),
            _ => name.to_owned(),
        })
    };
    let names: Vec<_> = meshes.iter().filter_map(name).collect();
    let next = match names.first() {
        Some(name) => format!("mesh --mesh {name} …"),
        None => "mesh projects".to_owned(),
    };
    let mut error =
        Error::new(400, "which mesh? Name one with --mesh: nothing was sent").hint(next);
    error.data = Some(json!({"candidates": names}));
    error
}

impl Sealing {
    pub fn new(home: &Home, keys: Keys) -> Sealing {
        Sealing {
            home: home.clone(),
            pins: Pins::new(home),
            keys,
            wanted: None,
            me: Mutex::default(),
            readers: Mutex::default(),
        }
    }

    /// The same in this mesh, by id or name: what the relay says of another one is refused.
    pub fn in_mesh(mut self, mesh: Option<String>) -> Sealing {
        self.wanted = mesh;
        self
    }

    /// One call: sealed if it says something in a sealed mesh, its result opened.
    pub async fn call(
        &self,
        exchange: &impl Exchange,
        function: &Function,
        arguments: &Map<String, Value>,
    ) -> Result<Value> {
        // A relay's catalogue must not say that a text is not to be sealed.
        let function = Catalogue::ours()
            .function(&function.name)
            .unwrap_or(function);
        let says = send::says(function, arguments);
        text::check_types(function, arguments)?;
        let given_back = settled::given_back(function, arguments);
        let is_ours = open::shows(function) || fill::has_chains(function) || !given_back.is_empty();
        if !says && !is_ours {
            return exchange.call(&function.name, arguments).await;
        }
        let Some(mut me) = self.me(exchange).await? else {
            if says {
                return Err(which_mesh(exchange).await);
            }
            return exchange.call(&function.name, arguments).await;
        };
        // Another command on this machine may have learned otherwise.
        if me.is_sealed != self.mesh(&me)?.sealed {
            self.forget();
            me = self.me(exchange).await?.unwrap_or(me);
        }
        let asked = me.settled.mark()?;
        let mut answer = self
            .exchange(exchange, function, arguments, &me, says)
            .await;
        // Refused as plain text, or as sealed: the mesh may have been sealed, or opened, since this machine asked.
        let otherwise = if me.is_sealed { 409 } else { 400 };
        if says && answer.as_ref().is_err_and(|e| e.status() == otherwise) {
            self.forget();
            let now = self.me(exchange).await?;
            if let Some(now) = now.filter(|now| now.is_sealed != me.is_sealed) {
                me = now;
                answer = self
                    .exchange(exchange, function, arguments, &me, says)
                    .await;
            }
        }
        let Arrived {
            value: mut result,
            at,
        } = answer?;
        for claim in seen::settled(function, arguments, &result) {
            me.settled.acknowledge(claim)?;
        }
        if !given_back.is_empty() {
            me.settled.give_back(&given_back)?;
        }
        self.open_result(exchange, function, (&me, asked, at), &mut result)
            .await?;
        Ok(fill::open_result(function, result, &self.mesh(&me)?))
    }

    /// Asks again who this is, before the next call that needs it: after the connection was gone, say.
    pub fn forget(&self) {
        *self.me.lock().expect("nothing panics under this lock") = None;
    }

    async fn exchange(
        &self,
        exchange: &impl Exchange,
        function: &Function,
        arguments: &Map<String, Value>,
        me: &Me,
        says: bool,
    ) -> Result<Arrived> {
        if me.is_sealed {
            self.must_hold_identity(me)?;
        }
        match says && me.is_sealed {
            true => self.send(exchange, function, arguments, me).await,
            false => exchange.exchange(&function.name, arguments).await,
        }
    }

    /// ME403: mail that this key cannot open should wait for one that can.
    fn must_hold_identity(&self, me: &Me) -> Result<()> {
        if !self.keys.is_bare || me.is_account {
            return Ok(());
        }
        let message = format!(
            "this mesh is sealed, and this machine has a key of {} but not its identity, which opens and signs its messages",
            me.agent
        );
        Err(Error::new(403, message).hint(format!("mesh setup {}", me.agent)))
    }

    fn mesh(&self, me: &Me) -> Result<pins::Mesh> {
        self.pins.mesh(&me.mesh)
    }
}
