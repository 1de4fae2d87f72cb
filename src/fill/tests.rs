use super::*;

fn function(arguments: Value, columns: Value) -> Function {
    serde_json::from_value(json!({
        "name": "create_invite", "summary": "", "description": "", "who": "account", "mesh": true,
        "mcp": "never", "read_only": false, "cli": null, "examples": [],
        "arguments": arguments,
        "returns": {"type": "row", "schema": {}, "columns": columns},
    }))
    .unwrap()
}

fn argument(name: &str, kind: &str, default: Value) -> Value {
    let schema = if kind == "integer" {
        json!({"type": "integer"})
    } else {
        json!({"type": "object"})
    };
    json!({"name": name, "type": kind, "schema": schema, "required": false, "default": default, "description": ""})
}

#[test]
fn secrets_and_signatures_are_filled_in() {
    let f = function(
        json!([
            argument("agent", "text", Value::Null),
            argument("days", "integer", json!(7)),
            argument("certificate", "mesh.signed", Value::Null),
            argument("invite", "mesh.new_secret", Value::Null),
        ]),
        json!([]),
    );
    let signer = Signer::generate();
    let given: Map<_, _> = [("agent".to_owned(), json!("designer"))]
        .into_iter()
        .collect();
    let filled = fill(&f, given.clone(), Some(&signer), Some("proj"), None).unwrap();
    assert_eq!(filled.arguments["days"], 7);
    assert!(filled.secrets[0].1.is_invite());
    assert_eq!(
        filled.arguments["invite"],
        filled.secrets[0].1.registration()
    );
    let covered = without_signed(&f, &filled.arguments);
    assert_eq!(covered.as_object().unwrap().len(), 3);
    crypto::verify_call(&filled.arguments["certificate"], "create_invite", &covered).unwrap();
    assert_eq!(
        filled.arguments["certificate"]["signer"],
        signer.public_key()
    );
    assert_eq!(
        fill(&f, given, None, None, None).err().unwrap().code,
        "ME403"
    );
}

#[test]
fn a_secret_goes_where_the_result_wants_it() {
    let secret = Secret::generate("mc_inv_");
    let mut url = json!({"url": "{public_url}/join#{secret}", "n": 1});
    insert_secret(&mut url, "invite", secret.text());
    assert_eq!(url["url"], format!("{{public_url}}/join#{}", secret.text()));
    assert_eq!(url.get("invite"), None);
    let mut plain = json!({"account": "alice"});
    insert_secret(&mut plain, "secret", secret.text());
    assert_eq!(plain["secret"], secret.text());
}

#[test]
fn chains_are_opened_where_the_type_says_so() {
    let f = function(
        json!([]),
        json!([{"name": "chain", "type": "mesh.chain"}, {"name": "data", "type": "jsonb"}]),
    );
    let owner = Signer::generate();
    let chain = json!([owner.sign_call("f", &json!({"session_key": "00"}), None)]);
    let rows = json!([{"chain": chain, "data": chain}, {"chain": [], "data": 1}, {"chain": null, "data": 1}]);
    let opened = open_result(&f, rows.clone(), &Mesh::default());
    assert_eq!(
        opened[0]["chain"],
        json!({"verified": true, "owner": owner.public_key()[..12]})
    );
    assert_eq!(opened[0]["data"], chain);
    assert_eq!(
        opened[1]["chain"],
        json!({"verified": false, "why": "there is no certificate"})
    );
    assert_eq!(opened[2]["chain"], Value::Null);
    let pinned = Mesh {
        owner_key: Signer::generate().public_key(),
        ..Mesh::default()
    };
    let refused = open_result(&f, rows, &pinned);
    let why = refused[0]["chain"]["why"].as_str().unwrap();
    assert!(why.ends_with("not the owner"), "{why}");
}
