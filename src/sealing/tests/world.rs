//! A relay of a few lines, which can lie, and machines that talk to it.

use crate::{crypto::envelope, sealing::*};
use serde_json::json;

pub const MESH: &str = "00000000-0000-7000-8000-00000000000e";

/// Who there is: their ids, names and identities.
pub struct Person {
    pub id: &'static str,
    pub name: &'static str,
    pub identity: Signer,
    pub chain: Value,
}

/// A relay that keeps messages and tells of identities; each answer passes through `bend`.
pub struct Relay {
    pub caller: Person,
    pub others: Vec<Person>,
    pub mode: Mutex<&'static str>,
    pub owner_key: Mutex<String>,
    /// As they were sent.
    pub stored: Mutex<Vec<Map<String, Value>>>,
    pub calls: Mutex<Vec<(String, Map<String, Value>)>>,
    pub bend: Mutex<Bend>,
}

/// Changes the answer to a function.
pub type Bend = Box<dyn Fn(&str, &mut Result<Value>) + Send>;

impl Exchange for Relay {
    async fn exchange(&self, function: &str, arguments: &Map<String, Value>) -> Result<Arrived> {
        let made = (function.to_owned(), arguments.clone());
        self.calls.lock().unwrap().push(made);
        let mut answer = self.answer(function, arguments);
        self.bend.lock().unwrap()(function, &mut answer);
        answer.map(Arrived::now)
    }
}

impl Relay {
    pub fn everybody(&self) -> impl Iterator<Item = &Person> {
        self.others.iter().chain([&self.caller])
    }

    pub fn answer(&self, function: &str, arguments: &Map<String, Value>) -> Result<Value> {
        match function {
            "whoami" => Ok(
                json!({"kind": "agent", "mesh": "proj", "mesh_id": MESH, "owner": "alice", "agent": self.caller.name,
                "agent_id": self.caller.id, "mode": *self.mode.lock().unwrap(), "owner_key": *self.owner_key.lock().unwrap()}),
            ),
            "list_identities" => Ok(self.everybody().map(row).collect()),
            "say" => self.store(arguments),
            "take" => {
                let stored = self.stored.lock().unwrap();
                let frames: Vec<Value> = stored.iter().map(|sent| self.frame(sent)).collect();
                Ok(json!({"messages": frames, "unread": 0, "claim": "c1"}))
            }
            _ => Ok(json!({})),
        }
    }

    pub fn store(&self, arguments: &Map<String, Value>) -> Result<Value> {
        let readers: Vec<Reader> = self
            .everybody()
            .map(|p| Reader::new(p.id, &p.identity.public_key()).unwrap())
            .collect();
        let document = arguments["message"]["document"]
            .as_str()
            .unwrap_or_default();
        if arguments["message"].is_object()
            && !document.contains(&envelope::recipients_hash(&readers))
        {
            let mut error = Error::new(409, "not sealed for those who are to read it now");
            error.data = Some(json!({"recipients": self.everybody().map(row).collect::<Vec<_>>()}));
            return Err(error);
        }
        self.stored.lock().unwrap().push(arguments.clone());
        Ok(json!({"stored": true}))
    }

    /// A stored message as the caller of this relay gets it.
    pub fn frame(&self, sent: &Map<String, Value>) -> Value {
        let mut envelope = sent["message"].clone();
        let document: Value = serde_json::from_str(envelope["document"].as_str().unwrap()).unwrap();
        let from = self
            .everybody()
            .find(|p| document["sender"] == p.id)
            .unwrap();
        let boxes = envelope.as_object_mut().unwrap().remove("boxes").unwrap();
        envelope["box"] = boxes[self.caller.id].clone();
        json!({"message_id": document["id"], "from": from.name, "from_kind": "agent", "to": sent.get("to"), "priority": "next", "message": null,
            "mentions": sent.get("mentions"), "data": null, "reply_to": null, "sent_at": document["sent_at"], "envelope": envelope})
    }

    pub fn made(&self, function: &str) -> Vec<Map<String, Value>> {
        let calls = self.calls.lock().unwrap();
        let of = calls.iter().filter(|(name, _)| name == function);
        of.map(|(_, arguments)| arguments.clone()).collect()
    }

    pub fn bend(&self, how: impl Fn(&str, &mut Result<Value>) + Send + 'static) {
        *self.bend.lock().unwrap() = Box::new(how);
    }
}

pub fn row(person: &Person) -> Value {
    json!({"agent_id": person.id, "agent": person.name, "identity_key": person.identity.public_key(), "chain": person.chain})
}

pub fn certificate(owner: &Signer, name: &str, identity: &Signer) -> Value {
    let arguments = json!({"agent": name, "identity_key": identity.public_key()});
    json!([owner.sign_call("create_agent_key", &arguments, Some(MESH))])
}

/// A machine of one agent, and the relay as it sees it.
pub struct World {
    pub relay: Relay,
    pub sealing: Sealing,
    pub owner: Signer,
    pub home: Home,
    _folder: tempfile::TempDir,
}

/// ann, bob and eve; the machine is `name`'s, and all of them are certified by one owner.
pub fn world(name: &str, owner: &Signer, identities: [&Signer; 3]) -> World {
    let names = [("a1", "ann"), ("b2", "bob"), ("e3", "eve")];
    let people = names
        .into_iter()
        .zip(identities)
        .map(|((id, name), identity)| Person {
            id,
            name,
            identity: identity.clone(),
            chain: certificate(owner, name, identity),
        });
    let (mut own, others): (Vec<_>, Vec<_>) = people.partition(|person| person.name == name);
    let folder = tempfile::tempdir().unwrap();
    let home = Home::find(Some(folder.path())).unwrap();
    let caller = own.remove(0);
    let keys = Keys {
        signer: caller.identity.clone(),
        is_bare: false,
        session: None,
    };
    World {
        sealing: Sealing::new(&home, keys),
        relay: Relay {
            caller,
            others,
            mode: Mutex::new("sealed"),
            owner_key: Mutex::new(owner.public_key()),
            stored: Mutex::default(),
            calls: Mutex::default(),
            bend: Mutex::new(Box::new(|_, _| {})),
        },
        owner: owner.clone(),
        home,
        _folder: folder,
    }
}

/// ann's machine and bob's.
pub fn two() -> (World, World) {
    let (owner, ann, bob, eve) = (
        Signer::generate(),
        Signer::generate(),
        Signer::generate(),
        Signer::generate(),
    );
    let identities = [&ann, &bob, &eve];
    (
        world("ann", &owner, identities),
        world("bob", &owner, identities),
    )
}

pub fn say() -> Function {
    let argument = |name: &str, kind: &str| json!({"name": name, "type": kind});
    serde_json::from_value(json!({"name": "say", "arguments": [argument("to", "mesh.addresses"), argument("message", "mesh.sealed"),
        argument("data", "mesh.sealed_data"), argument("priority", "text"), argument("reply_to", "uuid"),
        argument("key", "mesh.request_key"), argument("request", "mesh.request_id")]}))
    .unwrap()
}

pub fn take() -> Function {
    serde_json::from_value(json!({"name": "take", "arguments": [{"name": "seen", "type": "mesh.seen"}],
        "returns": {"columns": [{"name": "messages", "type": "mesh.frames"}, {"name": "claim", "type": "uuid"}]}}))
    .unwrap()
}

pub fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

impl World {
    pub async fn say(&self, arguments: Value) -> Result<Value> {
        self.sealing
            .call(&self.relay, &say(), &object(arguments))
            .await
    }

    pub async fn take(&self) -> Value {
        let (function, none) = (take(), Map::new());
        let taken = self.sealing.call(&self.relay, &function, &none).await;
        taken.unwrap()["messages"].clone()
    }

    /// Seals for all and hands to the relay what no client of ours would say.
    pub fn smuggle(&self, function: &str, body: Value) {
        let everybody = self.relay.everybody();
        let readers: Vec<Reader> = everybody
            .map(|p| Reader::new(p.id, &p.identity.public_key()).unwrap())
            .collect();
        let draft = envelope::Draft {
            function,
            arguments: &object(json!({"to": "*"})),
            mesh: MESH,
            sender: self.relay.caller.id,
            id: &envelope::new_id(),
            key: None,
            sent_at: time::OffsetDateTime::now_utc(),
            body: &object(body),
        };
        let signing = envelope::Signing {
            identity: &self.relay.caller.identity,
            session: None,
        };
        let sealed = envelope::seal(&draft, &signing, &readers).unwrap();
        let sent = object(json!({"to": "*", "message": sealed}));
        self.relay.store(&sent).unwrap();
    }

    /// Hands on what was sent from here to the relay of `other`.
    pub fn carry(&self, other: &World) {
        *other.relay.stored.lock().unwrap() = self.relay.stored.lock().unwrap().clone();
    }
}

/// What ann said to all as bob reads it, with his relay bending its answers.
pub async fn said_to_bob(
    bend: impl Fn(&str, &mut Result<Value>) + Send + 'static,
) -> (World, Value) {
    let (ann, bob) = two();
    ann.say(json!({"to": "*", "message": "the plan", "data": {"n": 1}}))
        .await
        .unwrap();
    ann.carry(&bob);
    bob.relay.bend(bend);
    let messages = bob.take().await;
    (bob, messages)
}

pub fn frames(answer: &mut Result<Value>) -> Option<&mut Vec<Value>> {
    answer.as_mut().ok()?.get_mut("messages")?.as_array_mut()
}
