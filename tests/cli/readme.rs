//! The README's commands, in its order.

use super::clean::Clean;
use serde_json::Value;

#[test]
fn the_readme_works_as_it_stands() {
    let (owner, friend) = (Clean::new(), Clean::new());
    let listen = format!("127.0.0.1:{}", crate::common::relay::free_port());
    let up = owner.ok(&["up", "--detach", "--listen", &listen]);
    assert!(
        up.contains(&format!("http://{listen}")) && up.contains("mesh create proj"),
        "{up}"
    );
    assert!(owner.ok(&["up", "--detach"]).contains("already up"));

    let created = owner.ok(&["create", "proj"]);
    assert!(created.contains("next: mesh go commander"), "{created}");
    let path = owner.claude("echo started in $PWD");
    let went = owner.mesh_with_path(&path, &["go", "commander"]);
    assert_eq!(went.code, 0, "{went:?}");
    assert!(went.out.contains("workspaces/proj/commander"), "{went:?}");
    owner.ok(&["send", "commander", "hello"]);
    assert!(owner.mesh(&["inbox"]).err.contains("nothing here"));

    let invite = owner.mesh(&[
        "invite",
        "proj",
        "designer",
        "--role",
        "UI designer",
        "--days",
        "7",
    ]);
    assert!(
        invite.err.contains("reachable from this machine only"),
        "a loopback URL: {invite:?}"
    );
    let line = invite
        .out
        .lines()
        .find_map(|line| line.strip_prefix("next: "))
        .expect("what to run");
    let join = line.split(" && ").next().expect("the first command");
    assert!(join.contains("/join#mc_inv_"), "{line}");
    // On the friend's machine, word for word, who has no account and knows no relay.
    let joined = friend.shell(&format!("{join} --display-name Alice"));
    assert_eq!(joined.code, 0, "{joined:?}");
    let path = friend.claude("echo \"$@\"");
    let ran = friend.mesh_with_path(&path, &["run", "designer"]);
    assert!(ran.code == 0 && ran.out.contains("UI designer"), "{ran:?}");
    let again = friend.shell(join);
    assert_eq!(again.code, 0, "harmless on the same machine: {again:?}");
    let stolen = Clean::new().shell(join);
    assert_eq!(stolen.code, 1, "an invite is for one: {stolen:?}");

    friend.ok(&["send", &person(&owner), "thanks"]);
    assert!(owner.ok(&["inbox"]).contains("designer"));
    owner.ok(&["send", "designer", "welcome"]);
    owner.ok(&["send", "*", "to all"]);
    let inbox = friend.ok(&["inbox"]);
    assert!(
        inbox.contains("welcome") && inbox.contains("to all"),
        "{inbox}"
    );
    for peers in [owner.ok(&["peers"]), friend.ok(&["peers"])] {
        assert!(
            peers.contains("designer") && peers.contains("commander"),
            "{peers}"
        );
    }
    assert!(owner.ok(&["board", "proj"]).contains("designer"));
    for list in ["projects", "list", "ls"] {
        assert!(owner.ok(&[list]).contains("proj"), "{list}");
    }
    let id = owner.json(&["send", "designer", "again"])["message_id"].clone();
    let told = owner.ok(&["message", "status", id.as_str().expect("an id")]);
    assert!(told.contains("queued"), "{told}");

    what_the_team_knows(&owner, &friend);

    let status = friend.ok(&["status"]);
    assert!(
        status.contains("designer") && status.contains(&listen),
        "{status}"
    );
    assert_eq!(owner.mesh(&["doctor"]).code, 0);
    owner.ok(&["member", "revoke", "designer"]);
    let revoked = friend.mesh(&["inbox"]);
    assert_eq!(revoked.code, 1, "taken out at once: {revoked:?}");
    assert!(owner.ok(&["down"]).contains("down"));
    assert_eq!(owner.mesh(&["peers"]).code, 3);
}

/// The rows of "Every day" on what a team knows, as team.json has them: who runs what, its exit code, what it says, and which
/// field of its first row later lines call `{kept}`.
fn what_the_team_knows(owner: &Clean, friend: &Clean) {
    let steps: Value = serde_json::from_str(include_str!("team.json")).expect("steps");
    let mut kept = String::new();
    for step in steps.as_array().expect("a list") {
        let who = if step["who"] == "owner" {
            owner
        } else {
            friend
        };
        let words = step["run"].as_array().expect("a command").iter();
        let words = words.map(|word| word.as_str().expect("a word").replace("{kept}", &kept));
        let command: Vec<String> = words.collect();
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        if let Some(field) = step["keep"].as_str() {
            kept = who.json(&command)[0][field]
                .as_str()
                .expect("a text")
                .to_owned();
            continue;
        }
        let ran = who.mesh(&command);
        assert_eq!(
            ran.code,
            step["code"].as_i64().unwrap_or(0) as i32,
            "{command:?} {ran:?}"
        );
        for said in step["says"].as_array().into_iter().flatten() {
            let said = said.as_str().expect("a text");
            assert!(
                ran.out.contains(said) || ran.err.contains(said),
                "{command:?} {ran:?}"
            );
        }
    }
}

/// The name of the owner's own agent.
fn person(owner: &Clean) -> String {
    let agents = owner.json(&["peers"]);
    let name = agents
        .as_array()
        .expect("peers")
        .iter()
        .find(|a| a["role"] == "owner");
    name.expect("the owner is in it")["agent"]
        .as_str()
        .expect("a name")
        .to_owned()
}

#[test]
fn an_account_of_the_administrators_signs_in_once_with_its_ticket() {
    let (owner, alice) = (Clean::new(), Clean::new());
    let relay = owner.up();
    let made = owner.ok(&["psql", "-XAtc", "select mesh.create_account('alice')"]);
    let ticket = made.trim();
    let login = alice.mesh(&["login", ticket, "--relay", &relay]);
    assert_eq!(login.code, 0, "{login:?}");
    assert_eq!(alice.json(&["whoami"])["account"], "alice");
    let twice = Clean::new().mesh(&["login", ticket, "--relay", &relay]);
    assert_eq!(twice.code, 1, "a ticket is for one use: {twice:?}");
    alice.ok(&["create", "hers"]);
    assert!(!owner.ok(&["projects"]).contains("hers"));

    // Its key, on stdin, on another machine; a typo in it is told from a key that is no good.
    let key = alice.ok(&["token", "--key"]).trim().to_owned();
    let other = Clean::new();
    let login = other.shell(&format!("echo {key} | mesh login - --relay {relay}"));
    assert_eq!(login.code, 0, "{login:?}");
    let typo = key.replace(&key[key.len() - 2..], "zz");
    let login = other.mesh(&["login", &typo, "--relay", &relay]);
    assert!(login.code != 0 && login.err.contains("typo"), "{login:?}");

    let token = alice.ok(&["token"]);
    let curl = alice.shell(&format!(
        "exec 3<>/dev/tcp/{}; printf 'POST /rpc/whoami HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\nauthorization: Bearer {}\\r\\ncontent-length: 2\\r\\n\\r\\n{{}}' >&3; cat <&3",
        relay.trim_start_matches("http://").replace(':', "/"),
        token.trim()
    ));
    assert!(curl.out.contains("\"alice\""), "{curl:?}");
    alice.ok(&["logout"]);
    let out = alice.mesh(&["projects"]);
    assert_eq!(out.code, 1, "signed out: {out:?}");
    assert!(out.err.contains("mesh login"), "{out:?}");
    assert_eq!(
        other.json(&["whoami"])["account"],
        "alice",
        "the key is good elsewhere"
    );
}

#[test]
fn strangers_make_an_account_only_where_the_relay_lets_them() {
    let (owner, carol) = (Clean::new(), Clean::new());
    let relay = owner.up();
    let refused = carol.mesh(&["signup", "carol", "--relay", &relay]);
    assert_eq!(refused.code, 1, "{refused:?}");
    owner.ok(&["down"]);
    let listen = relay.trim_start_matches("http://");
    owner.ok(&["up", "--detach", "--listen", listen, "--signup", "open"]);
    carol.ok(&["signup", "carol", "--relay", &relay]);
    assert_eq!(carol.json(&["whoami"])["account"], "carol");
}
