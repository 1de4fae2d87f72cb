use super::*;

fn credential(kind: &str, relay: &str, who: &str, mesh: Option<&str>) -> Credential {
    Credential {
        id: format!("{who}-{relay}-{}", mesh.unwrap_or_default()),
        kind: kind.into(),
        relay: relay.into(),
        account: (kind == "account").then(|| who.into()),
        agent: (kind == "agent").then(|| who.into()),
        mesh: mesh.map(Into::into),
        mesh_id: mesh.map(|mesh| format!("id-{mesh}")),
        owner: mesh.map(|_| "alice".into()),
    }
}

fn config() -> Config {
    Config {
        relay: Some("http://a".into()),
        credentials: vec![
            credential("account", "http://b", "bob", None),
            credential("account", "http://a", "alice", None),
            credential("agent", "http://a", "designer", Some("proj")),
            credential("agent", "http://a", "designer", Some("other")),
            credential("agent", "http://a", "backend", Some("proj")),
        ],
        workspaces: vec![Workspace {
            mesh: "proj".into(),
            mesh_id: "id-proj".into(),
            agent: "backend".into(),
            relay: "http://a".into(),
            path: "/w".into(),
            editor: "claude".into(),
        }],
        ..Default::default()
    }
}

fn pick(
    config: &Config,
    globals: &Globals,
    relay: Option<&str>,
    here: bool,
    who: &str,
) -> Result<String> {
    let here = here.then(|| &config.workspaces[0]);
    Ok(choose(config, globals, relay, here, who)?.map_or("nobody".into(), |c| describe(&c)))
}

#[test]
fn keys_are_chosen_in_their_order() {
    let config = config();
    let plain = Globals::default();
    let agent = |agent: &str, mesh: Option<&str>| Globals {
        agent: Some(agent.into()),
        mesh: mesh.map(Into::into),
        ..Default::default()
    };
    assert_eq!(
        pick(&config, &plain, None, false, "any").unwrap(),
        "alice at http://a"
    );
    assert_eq!(
        pick(&config, &plain, Some("http://b"), false, "any").unwrap(),
        "bob at http://b"
    );
    assert_eq!(
        pick(&config, &plain, Some("http://c"), false, "any").unwrap(),
        "nobody"
    );
    assert_eq!(
        pick(&config, &plain, None, true, "any").unwrap(),
        "backend in proj"
    );
    assert_eq!(
        pick(&config, &plain, None, true, "account").unwrap(),
        "alice at http://a"
    );
    assert_eq!(
        pick(&config, &agent("Backend", None), None, true, "account").unwrap(),
        "backend in proj"
    );
    assert_eq!(
        pick(
            &config,
            &agent("designer", Some("alice/other")),
            None,
            true,
            "any"
        )
        .unwrap(),
        "designer in other"
    );
    assert_eq!(
        pick(&config, &agent("designer", None), None, false, "any")
            .unwrap_err()
            .code,
        "ME400"
    );
    assert_eq!(
        pick(&config, &agent("nobody", None), None, false, "any")
            .unwrap_err()
            .code,
        "ME404"
    );
    let elsewhere = Globals {
        mesh: Some("other".into()),
        ..Default::default()
    };
    assert_eq!(
        pick(&config, &elsewhere, None, true, "any").unwrap(),
        "alice at http://a"
    );
}

#[test]
fn who_names_itself_as_an_agent_is_told_to_name_none() {
    let as_agent = |agent: &str| {
        let globals = Globals {
            agent: Some(agent.into()),
            ..Default::default()
        };
        pick(&config(), &globals, None, true, "any").unwrap_err()
    };
    assert_eq!(as_agent("nobody").hint, "mesh setup nobody");
    let person = as_agent("Alice");
    assert!(person.message.contains("leave --agent out") && person.hint.is_empty());
}

#[test]
fn a_guest_with_one_agent_needs_no_options() {
    let mut config = config();
    config
        .credentials
        .retain(|c| c.agent.as_deref() == Some("backend"));
    assert_eq!(
        pick(&config, &Globals::default(), None, false, "any").unwrap(),
        "backend in proj"
    );
    config.credentials.clear();
    assert_eq!(
        pick(&config, &Globals::default(), None, false, "any").unwrap(),
        "nobody"
    );
}
