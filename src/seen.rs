//! Which answers with mail have arrived: what a `mesh.seen` argument says, so that a lost answer loses no mail.

use crate::{
    catalogue::{Argument, Function},
    crypto,
    error::Result,
    home::{self, Home},
    rpc::Target,
};
use serde_json::{Map, Value};
use std::{
    collections::VecDeque,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Said beside the claims that have arrived: other answers are under way, and what they hold is not lost.
pub const UNDER_WAY: &str = "00000000-0000-0000-0000-000000000000";
/// How many answers may have arrived and not be said yet; what older ones held comes again.
const MOST: usize = 100;

/// Adds the claims that have arrived, if `function` asks for them and the caller does not say them.
pub fn fill(
    function: &Function,
    arguments: &mut Map<String, Value>,
    arrived: impl FnOnce() -> Value,
) {
    if let Some(argument) = argument(function) {
        arguments
            .entry(argument.name.clone())
            .or_insert_with(arrived);
    }
}

/// Where a function is told what has arrived.
pub fn argument(function: &Function) -> Option<&Argument> {
    function.arguments.iter().find(|a| a.kind == "mesh.seen")
}

/// The claim in the answer of a function that takes one.
pub fn claim<'a>(function: &Function, answer: &'a Value) -> Option<&'a str> {
    argument(function)?;
    answer.get("claim")?.as_str()
}

/// The claims that a call which was answered so has settled. One that takes mail and took none may have been a look.
pub fn settled<'a>(
    function: &Function,
    arguments: &'a Map<String, Value>,
    answer: &Value,
) -> Vec<&'a str> {
    let takes = function.returns.names().any(|name| name == "claim");
    let said = argument(function).and_then(|argument| arguments.get(&argument.name)?.as_array());
    let said = said.filter(|_| !takes || !answer["claim"].is_null());
    let claims = said.into_iter().flatten().filter_map(Value::as_str);
    claims.filter(|claim| *claim != UNDER_WAY).collect()
}

/// The answers with mail of one session.
#[derive(Clone, Default)]
pub struct Answers(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// the claims that have arrived, and were not settled yet
    arrived: VecDeque<String>,
    /// calls that may take mail, and whose answers have not arrived
    under_way: usize,
}

impl Answers {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The claims that have arrived, as an argument.
    pub fn arrived(&self) -> Value {
        self.known().arrived.iter().cloned().collect()
    }

    /// The answer with this claim has arrived: the next call that settles says so.
    pub fn saw(&self, claim: String) {
        let mut known = self.known();
        known.arrived.push_back(claim);
        if known.arrived.len() > MOST {
            known.arrived.pop_front();
        }
    }

    /// A call that said these claims was answered.
    pub fn forget(&self, settled: &[&str]) {
        let is_open = |claim: &String| !settled.contains(&claim.as_str());
        self.known().arrived.retain(is_open);
    }

    /// A call is about to be sent. It says that there are others whose answers it does not name, and is one for those that
    /// follow, until it is dropped.
    pub fn begin(
        &self,
        function: &Function,
        arguments: &mut Map<String, Value>,
    ) -> Option<UnderWay> {
        let argument = argument(function)?;
        let mut known = self.known();
        if let Some(Value::Array(said)) = arguments.get_mut(&argument.name) {
            let is_said = |claim: &String| said.iter().any(|said| said == claim);
            if known.under_way > 0 || !known.arrived.iter().all(is_said) {
                said.push(UNDER_WAY.into());
            }
        }
        known.under_way += 1;
        Some(UnderWay(self.clone()))
    }
}

/// A call whose answer has not arrived, until it is dropped.
pub struct UnderWay(Answers);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.known().under_way -= 1;
    }
}

/// The claim this machine's commands printed last, as this key in this mesh, as an argument.
pub fn read(home: &Home, target: &Target) -> Value {
    let claim = fs::read_to_string(path(home, target));
    claim.into_iter().collect()
}

/// Keeps the claim of an answer that was printed. Errors: the file cannot be written.
pub fn write(home: &Home, target: &Target, claim: &str) -> Result<()> {
    home::private_directory(&home.root.join("seen"))?;
    home::write_private(&path(home, target), claim.as_bytes())
}

fn path(home: &Home, target: &Target) -> PathBuf {
    let who = format!("{} {:?} {:?}", target.relay, target.bearer, target.mesh);
    home.root
        .join("seen")
        .join(&crypto::sha256_hex(who.as_bytes())[..32])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_says_what_has_arrived_and_whether_others_are_under_way() {
        let takes = json!({"name": "take", "arguments": [{"name": "seen", "type": "mesh.seen"}],
            "returns": {"columns": [{"name": "claim", "type": "uuid"}]}});
        let takes: Function = serde_json::from_value(takes).unwrap();
        let answers = Answers::default();
        let said = || {
            let mut arguments = Map::new();
            fill(&takes, &mut arguments, || answers.arrived());
            arguments
        };
        let begin = |mut said: Map<String, Value>| {
            let way = answers.begin(&takes, &mut said);
            (way, said["seen"].clone())
        };
        let (first, seen) = begin(said());
        assert_eq!(seen, json!([]));
        let (second, seen) = begin(said());
        assert_eq!(seen, json!([UNDER_WAY]));
        answers.saw("a".into());
        drop(first);
        let before = said();
        answers.saw("b".into());
        drop(second);
        assert_eq!(begin(before).1, json!(["a", UNDER_WAY]), "not b");
        assert_eq!(begin(said()).1, json!(["a", "b"]));
        let others = Function::default();
        assert!(answers.begin(&others, &mut Map::new()).is_none());

        let said = json!({"seen": ["a", UNDER_WAY]});
        let said = said.as_object().unwrap();
        assert!(settled(&takes, said, &json!({"claim": null})).is_empty());
        answers.forget(&settled(&takes, said, &json!({"claim": "c"})));
        assert_eq!(answers.arrived(), json!(["b"]));
        (0..MOST).for_each(|n| answers.saw(n.to_string()));
        assert_eq!(answers.arrived()[0], "0", "the oldest comes again");
    }
}
