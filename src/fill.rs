//! What a client adds to a call because of its argument types, and takes out of its result.

#[cfg(test)]
mod tests;

use crate::{
    catalogue::{Argument, Function},
    crypto::{self, Secret, Signer},
    error::{Error, Result},
    pins::Mesh,
    rpc::{self, Client},
    sealing::Sealing,
};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

/// What a caller may want other than usual.
#[derive(Default)]
pub struct Options<'a> {
    /// Use this for the `mesh.new_secret` argument instead of a new one (it was stored before the call).
    pub secret: Option<Secret>,
    /// Seals and opens, where the call is one of an agent.
    pub sealing: Option<&'a Sealing>,
}

/// Calls `function` through `client`, filling `mesh.new_secret` and `mesh.signed` arguments and the placeholders of the
/// result; verifies `mesh.chain` values. `signer` signs; ME403 when it is needed and missing.
pub async fn call(
    client: &Client,
    function: &Function,
    mut arguments: Map<String, Value>,
    signer: Option<&Signer>,
    options: Options<'_>,
) -> Result<Value> {
    let bound;
    let mut client = client;
    if function.arguments.iter().any(|a| a.kind == "mesh.signed") && signer.is_some() {
        bound = client.bound_to_mesh().await?;
        client = &bound;
        if let (Some(sealing), Some(mesh)) = (options.sealing, &client.target.mesh) {
            sealing.must_be_wanted(mesh)?;
            if sealing.knows_sealed(mesh)? {
                for argument in missing(function, &arguments, "mesh.mode") {
                    arguments.insert(argument.name.clone(), "sealed".into());
                }
            }
        }
    }
    let filled = fill(
        function,
        arguments,
        signer,
        client.target.mesh.as_deref(),
        options.secret,
    )?;
    let mut result = match options.sealing {
        Some(sealing) => sealing.call(client, function, &filled.arguments).await?,
        None => {
            let result = client.call(&function.name, &filled.arguments).await?;
            open_result(function, result, &Mesh::default())
        }
    };
    for (name, secret) in &filled.secrets {
        // Who joins learns from whom, and from nobody between.
        let owner = signer
            .filter(|_| secret.is_invite())
            .map(Signer::public_key);
        let owner = owner.map_or(String::new(), |key| format!(".{}", &key[..32]));
        let text = Zeroizing::new([secret.text(), &owner].concat());
        insert_secret(&mut result, name, &text);
    }
    if holds(&result, PUBLIC_URL) {
        let url = public_url(client).await;
        if rpc::is_loopback(&url) {
            eprintln!(
                "warning: {url} is reachable from this machine only; start the relay with --listen and --public-url \
                 for others to join"
            );
        }
        replace(&mut result, PUBLIC_URL, &url);
    }
    Ok(result)
}

/// The arguments as they are sent, and the secrets that were made for them by argument name.
pub struct Filled {
    pub arguments: Map<String, Value>,
    pub secrets: Vec<(String, Secret)>,
}

/// Adds what the caller leaves out: secrets and the call's name first, then signatures over all that is sent beside them.
pub fn fill(
    function: &Function,
    mut arguments: Map<String, Value>,
    signer: Option<&Signer>,
    mesh: Option<&str>,
    secret: Option<Secret>,
) -> Result<Filled> {
    let mut secrets = Vec::new();
    let mut ready = secret;
    for argument in missing(function, &arguments, "mesh.new_secret") {
        let prefix = if argument.name == "invite" {
            "mc_inv_"
        } else {
            "mc_"
        };
        let secret = ready.take().unwrap_or_else(|| Secret::generate(prefix));
        arguments.insert(argument.name.clone(), secret.registration());
        secrets.push((argument.name.clone(), secret));
    }
    function.list_addresses(&mut arguments);
    function.name_call(&mut arguments);
    let signed = missing(function, &arguments, "mesh.signed");
    if !signed.is_empty() {
        state_defaults(function, &mut arguments);
        let signer = signer.ok_or_else(|| {
            Error::new(
                403,
                format!(
                    "{} must be signed, and there is no signing key here",
                    function.name
                ),
            )
            .hint("mesh login")
        })?;
        let document = without_signed(function, &arguments);
        for argument in signed {
            arguments.insert(
                argument.name.clone(),
                signer.sign_call(&function.name, &document, mesh),
            );
        }
    }
    Ok(Filled { arguments, secrets })
}

/// The arguments that a `mesh.signed` one covers: all others.
pub fn without_signed(function: &Function, arguments: &Map<String, Value>) -> Value {
    let is_signed = |name: &str| {
        function
            .arguments
            .iter()
            .any(|a| a.name == name && a.kind == "mesh.signed")
    };
    let kept = arguments.iter().filter(|(name, _)| !is_signed(name));
    Value::Object(
        kept.map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

/// Whether a result of `function` holds `mesh.chain` columns.
pub fn has_chains(function: &Function) -> bool {
    chains(function).next().is_some()
}

fn chains(function: &Function) -> impl Iterator<Item = &str> {
    let columns = function.returns.kinds();
    columns
        .filter(|(_, kind)| *kind == "mesh.chain")
        .map(|(name, _)| name)
}

/// Turns the `mesh.chain` columns of a result into `{"verified":true,"owner":…}` or `{"verified":false,"why":…}`: they
/// must begin with the owner of `mesh`, if that is known.
pub fn open_result(function: &Function, mut result: Value, mesh: &Mesh) -> Value {
    let chains: Vec<&str> = chains(function).collect();
    let open = |row: &mut Value| {
        for name in &chains {
            if let Some(chain) = row.get_mut(*name).filter(|chain| !chain.is_null()) {
                *chain = opened(chain, mesh);
            }
        }
    };
    match &mut result {
        Value::Array(rows) => rows.iter_mut().for_each(open),
        row => open(row),
    }
    result
}

const PUBLIC_URL: &str = "{public_url}";
const SECRET: &str = "{secret}";

fn missing<'a>(
    function: &'a Function,
    arguments: &Map<String, Value>,
    kind: &str,
) -> Vec<&'a Argument> {
    let absent = |name: &str| arguments.get(name).is_none_or(Value::is_null);
    function
        .arguments
        .iter()
        .filter(|a| a.kind == kind && absent(&a.name))
        .collect()
}

/// A signature should say how long an invite lasts even when nobody typed it, so numbers left out are written out.
fn state_defaults(function: &Function, arguments: &mut Map<String, Value>) {
    for argument in &function.arguments {
        let numeric = matches!(argument.schema["type"].as_str(), Some("integer" | "number"));
        if numeric && argument.default.is_number() && !arguments.contains_key(&argument.name) {
            arguments.insert(argument.name.clone(), argument.default.clone());
        }
    }
}

fn insert_secret(result: &mut Value, name: &str, secret: &str) {
    if holds(result, SECRET) {
        replace(result, SECRET, secret);
    } else if let Value::Object(members) = result {
        members.insert(name.to_owned(), secret.into());
    } else {
        *result = json!({"result": result.take(), name: secret});
    }
}

fn holds(value: &Value, placeholder: &str) -> bool {
    match value {
        Value::String(text) => text.contains(placeholder),
        Value::Array(items) => items.iter().any(|v| holds(v, placeholder)),
        Value::Object(members) => members.values().any(|v| holds(v, placeholder)),
        _ => false,
    }
}

fn replace(value: &mut Value, placeholder: &str, by: &str) {
    match value {
        Value::String(text) if text.contains(placeholder) => *text = text.replace(placeholder, by),
        Value::Array(items) => items.iter_mut().for_each(|v| replace(v, placeholder, by)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|v| replace(v, placeholder, by)),
        _ => {}
    }
}

/// What the relay calls itself, else the URL it was reached by.
async fn public_url(client: &Client) -> String {
    let named = client
        .get("/health")
        .await
        .ok()
        .and_then(|h| Some(h["public_url"].as_str()?.to_owned()));
    let url = named
        .filter(|url| !url.is_empty())
        .unwrap_or_else(|| client.relay().to_owned());
    url.trim_end_matches('/').to_owned()
}

fn opened(chain: &Value, mesh: &Mesh) -> Value {
    match crypto::verify_chain(chain) {
        _ if chain == &json!([]) => json!({"verified": false, "why": "there is no certificate"}),
        Ok(owner) if !mesh.owner_key.is_empty() && !mesh.is_owner(&owner) => {
            json!({"verified": false, "why": format!("its first signer is {}, not the owner", &owner[..12])})
        }
        Ok(owner) => json!({"verified": true, "owner": owner[..12]}),
        Err(why) => json!({"verified": false, "why": why}),
    }
}
