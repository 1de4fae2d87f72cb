//! Sealing what a call says.

use super::{Arrived, Exchange, Me, Sealing, text};
use crate::{
    canonical,
    catalogue::Function,
    crypto::envelope::{self, Draft, Reader, Signing},
    error::{Error, Result},
};
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// How often a call is sealed anew because its readers have changed meanwhile.
const TRIES: usize = 4;

/// Types of what names a call: made again, it is the same one.
const NAMES: [&str; 2] = ["mesh.request_key", "mesh.request_id"];

/// Whether a call says something that is to be sealed.
pub fn says(function: &Function, arguments: &Map<String, Value>) -> bool {
    given(function, arguments, |kind| kind == "mesh.sealed")
        .next()
        .is_some()
}

/// The arguments that have a value, of the types that `wanted` wants.
fn given<'a>(
    function: &'a Function,
    arguments: &'a Map<String, Value>,
    wanted: impl Fn(&str) -> bool,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    function.arguments.iter().filter_map(move |argument| {
        let value = arguments.get(&argument.name).filter(|v| !v.is_null())?;
        wanted(&argument.kind).then_some((argument.name.as_str(), value))
    })
}

fn is_sealed(kind: &str) -> bool {
    matches!(kind, "mesh.sealed" | "mesh.sealed_data")
}

/// Whether the sender signs an argument of this type as it stands: readers hold what they are shown against it.
fn is_signed(kind: &str) -> bool {
    let is_ours = matches!(kind, "mesh.seen" | "mesh.awaited");
    !is_sealed(kind) && !is_ours && !NAMES.contains(&kind)
}

/// The arguments, with what those left out stand for: what nobody states, nobody signs.
fn with_defaults(function: &Function, arguments: &Map<String, Value>) -> Map<String, Value> {
    let mut stated = arguments.clone();
    for argument in function.arguments.iter().filter(|a| is_signed(&a.kind)) {
        let is_absent = stated.get(&argument.name).is_none_or(Value::is_null);
        if is_absent && !argument.default.is_null() {
            stated.insert(argument.name.clone(), argument.default.clone());
        }
    }
    stated
}

impl Sealing {
    /// Seals the call and makes it; seals it anew for the readers the relay names as long as it names others.
    pub(super) async fn send(
        &self,
        exchange: &impl Exchange,
        function: &Function,
        arguments: &Map<String, Value>,
        me: &Me,
    ) -> Result<Arrived> {
        let arguments = &with_defaults(function, arguments);
        let call = Call::new(function, arguments);
        text::check(Some(function), &call.body)?;
        let mut readers = self.last_readers(&call);
        let mut tries = 0;
        loop {
            let envelope = self.seal(function, &call, me, &readers)?;
            let answer = exchange
                .exchange(&function.name, &call.on_the_wire(arguments, &envelope))
                .await;
            tries += 1;
            match answer {
                Err(error) if tries < TRIES && named(&error).is_some() => {
                    readers = self.readers(me, &call, named(&error).unwrap_or_default())?;
                }
                Err(error) => return Err(error),
                Ok(result) => {
                    let mut known = self.readers.lock().expect("nothing panics under this lock");
                    known.insert(call.addresses(), readers);
                    return Ok(result);
                }
            }
        }
    }

    fn seal(&self, function: &Function, call: &Call, me: &Me, readers: &[Reader]) -> Result<Value> {
        let draft = Draft {
            function: &function.name,
            arguments: &call.signed,
            mesh: &me.mesh,
            sender: &me.agent_id,
            id: &call.id,
            key: call.key.as_deref(),
            sent_at: OffsetDateTime::now_utc(),
            body: &call.body,
        };
        let hello = self.keys.session.as_ref().map(|session| {
            session
                .hello
                .lock()
                .expect("nothing panics under this lock")
                .clone()
        });
        let session = self.keys.session.as_ref().map(|session| &session.key);
        let signing = Signing {
            identity: &self.keys.signer,
            session: session.zip(hello.as_ref()),
        };
        envelope::seal(&draft, &signing, readers)
    }

    /// Whom the relay wants a message sealed for, each checked: known here or certified by the owner, and meant.
    fn readers(&self, me: &Me, call: &Call, rows: &[Value]) -> Result<Vec<Reader>> {
        let mut readers = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row["agent_id"].as_str().unwrap_or_default();
            let agent = self.introduce(me, row)?;
            if id != me.agent_id && !call.may_reach(&agent.name, &agent.key) {
                let message = format!(
                    "the relay wants {} to read what is not for {0}; nothing was sent",
                    agent.name
                );
                return Err(Error::new(409, message).hint("mesh peers"));
            }
            readers.push(Reader::new(id, &agent.key)?);
        }
        Ok(readers)
    }

    fn last_readers(&self, call: &Call) -> Vec<Reader> {
        let known = self.readers.lock().expect("nothing panics under this lock");
        let last = known.get(&call.addresses()).cloned().unwrap_or_default();
        drop(known);
        last
    }
}

/// Who is to be able to read it, if that is what the relay refuses for.
fn named(error: &Error) -> Option<&[Value]> {
    let data = error.data.as_ref().filter(|_| error.status() == 409)?;
    data["recipients"].as_array().map(Vec::as_slice)
}

/// What stays the same each time a call is sealed.
struct Call {
    id: String,
    key: Option<String>,
    function: String,
    signed: Map<String, Value>,
    body: Map<String, Value>,
    text: String,
}

impl Call {
    fn new(function: &Function, arguments: &Map<String, Value>) -> Call {
        let owned = |(name, value): (&str, &Value)| (name.to_owned(), value.clone());
        let named = |of: &str| given(function, arguments, |kind| kind == of).next();
        let key = NAMES.iter().find_map(|kind| named(kind)?.1.as_str());
        Call {
            id: envelope::new_id(),
            key: key.map(str::to_owned),
            function: function.name.clone(),
            signed: given(function, arguments, is_signed).map(owned).collect(),
            body: given(function, arguments, is_sealed).map(owned).collect(),
            text: given(function, arguments, |kind| kind == "mesh.sealed")
                .map(|(name, _)| name.to_owned())
                .next()
                .unwrap_or_default(),
        }
    }

    /// The arguments with the envelope in place of all that is in it.
    fn on_the_wire(&self, arguments: &Map<String, Value>, envelope: &Value) -> Map<String, Value> {
        let mut wire = arguments.clone();
        wire.retain(|name, _| !self.body.contains_key(name));
        wire.insert(self.text.clone(), envelope.clone());
        wire
    }

    /// What tells for whom it most likely is: the same as the last time this was said.
    fn addresses(&self) -> String {
        let to = self.signed.get("to");
        let to = to.map_or_else(
            || canonical::text(&Value::Object(self.signed.clone())),
            canonical::text,
        );
        format!("{} {to}", self.function)
    }

    /// Whether an agent may be among those whom the addresses mean, as far as they say so themselves.
    fn may_reach(&self, name: &str, key: &str) -> bool {
        let Some(to) = self.signed.get("to") else {
            return true;
        };
        addresses(to).iter().any(|address| {
            let is_prefix = address.len() >= 8 && key.starts_with(address.as_str());
            address == name || is_prefix || names_many(address)
        })
    }
}

/// The addresses that a `to` holds, as the server reads them.
pub fn addresses(to: &Value) -> Vec<String> {
    let texts: Vec<&str> = match to {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    };
    let each = texts.iter().flat_map(|text| text.split(','));
    let mut all: Vec<String> = each
        .map(|address| address.trim().to_lowercase())
        .filter(|address| !address.is_empty())
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Whether only the server knows whom an address means.
fn names_many(address: &str) -> bool {
    address.starts_with(['*', '@', '#']) || address.contains(':')
}

pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
