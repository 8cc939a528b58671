//! What is read from where, and how problems are said.

use super::*;

fn file(text: &str) -> Sources {
    Sources { file: Some((PathBuf::from("x.toml"), text.to_owned())), ..Sources::default() }
}

fn problems(sources: &Sources) -> Vec<String> {
    Config::load(sources).unwrap_err().0
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn the_shipped_file_holds_every_key_at_its_default() {
    let text = include_str!("../../../config.toml");
    let settings = Config::load(&file(text)).unwrap();
    assert_eq!(settings.config, Config::default());
    let table: Table = text.parse().unwrap();
    for (section, keys) in defaults() {
        for (key, default) in keys.as_table().unwrap() {
            let written = table.get(&section).and_then(|keys| keys.get(key));
            assert_eq!(written, Some(default), "{section}.{key} in config.toml");
        }
    }
    for (_, key) in WITHOUT_DEFAULT.into_iter().chain([TLS]) {
        assert!(text.contains(&format!("# {key} = ")), "{key} is not explained in config.toml");
    }
}

#[test]
fn every_key_the_shipped_file_leaves_out_is_known() {
    let (mut section, mut keys) = ("", 0);
    for line in include_str!("../../../config.toml").lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let left_out = line.strip_prefix("# ").and_then(|line| line.split_once(" = "));
        let Some((key, _)) = left_out.filter(|(key, _)| !key.contains(' ')) else { continue };
        assert!(known(section, key).is_some(), "{section}.{key} cannot be set");
        keys += 1;
    }
    assert_eq!(keys, WITHOUT_DEFAULT.len() + 1, "one more is server.tls");
}

#[test]
fn later_sources_win() {
    let sources = Sources {
        environment: vec![
            pair("STAFFETTA_DELIVERY_ACK_WAIT_MS", "20"),
            pair("STAFFETTA_DELIVERY_TICK_MS", "21"),
            pair("STAFFETTA_DATABASE_URL", "postgres://u:p@h/n"),
            pair("STAFFETTA_API_KEY", "k"),
            pair("STAFFETTA_TEST_POSTGRES", "x"),
            pair("PATH", "/bin"),
        ],
        flags: vec![pair("delivery.tick_ms", "30"), pair("server.listen", "0.0.0.0:80")],
        ..file("[delivery]\nack_wait_ms = 10\nin_flight_max = 11\ntick_ms = 12\n")
    };
    let settings = Config::load(&sources).unwrap();
    let delivery = &settings.config.delivery;
    assert_eq!((delivery.in_flight_max, delivery.ack_wait_ms, delivery.tick_ms), (11, 20, 30));
    assert_eq!(settings.config.server.listen.port(), 80);
    assert_eq!(settings.config.database.url, "postgres://u:p@h/n");
    let shown = format!("{settings:?}");
    assert!(!shown.contains("u:p@h"), "a database's URL never shows: {shown}");
}

#[test]
fn the_level_of_the_environment_comes_first_and_must_be_one() {
    let with = |level: &str| Sources {
        environment: vec![pair("STAFFETTA_LOG", level)],
        flags: vec![pair("log.level", "warn")],
        ..Sources::default()
    };
    let level = |sources| Config::load(&sources).unwrap().config.log.level;
    assert_eq!(level(with("info,staffetta::ws=debug")), "info,staffetta::ws=debug");
    assert_eq!(level(with("")), "warn");
    assert_eq!(
        problems(&with("loud")),
        [
            "log.level (STAFFETTA_LOG in the environment): \"loud\" must be off, error, warn, info, debug or trace, or several as module=level"
        ]
    );
}

#[test]
fn what_is_unknown_is_named_with_what_it_may_have_meant() {
    let sources = Sources {
        environment: vec![pair("STAFFETTA_DELIVERY_ACK_WAIT", "3s")],
        flags: vec![pair("tick", "1"), pair("allowed", "[]"), pair("al", "[]")],
        ..file("[delivery]\nack_wait = \"3s\"\n[nonsense]\nx = 1\n[server]\nallowed = []\n")
    };
    assert_eq!(
        problems(&sources),
        [
            "delivery.ack_wait (x.toml): unknown; did you mean delivery.ack_wait_ms?",
            "nonsense.x (x.toml): unknown",
            "server.allowed (x.toml): unknown; did you mean server.allowed_origins?",
            "delivery.ack_wait (STAFFETTA_DELIVERY_ACK_WAIT in the environment): unknown; did you mean delivery.ack_wait_ms?",
            "tick (a flag): unknown; did you mean delivery.tick_ms?",
            "allowed (a flag): unknown; did you mean server.allowed_origins?",
            "al (a flag): unknown",
        ]
    );
}

#[test]
fn a_wrong_unit_is_named_with_the_right_one() {
    let text = "[delivery]\nack_wait_ms = \"3s\"\n[limits]\noutbox_bytes_max = 1.5\n";
    assert_eq!(
        problems(&file(text)),
        [
            "delivery.ack_wait_ms = \"3s\" (x.toml): must be a whole number of milliseconds",
            "limits.outbox_bytes_max = 1.5 (x.toml): must be a whole number of bytes",
        ]
    );
}

#[test]
fn impossible_values_are_named_with_their_limits_all_at_once() {
    let text = "[delivery]\nin_flight_max = 0\nin_flight_bytes_max = 2000000\n\
                [database]\nurl = \"mysql://root:hunter2@h/n\"\n";
    assert_eq!(
        problems(&file(text)),
        [
            "delivery.in_flight_max = 0 (x.toml): must be 1 to 65536",
            "delivery.in_flight_bytes_max = 2000000 (x.toml): must not be above limits.outbox_bytes_max, which is 1048576",
            "database.url (x.toml): must start with sqlite:// or postgres://",
        ]
    );
}

#[test]
fn a_negative_number_and_a_bad_choice_are_refused() {
    for text in [
        "[delivery]\nack_wait_ms = -1\n",
        "[database]\nsynchronous = \"off\"\n",
        "[server]\nlisten = \"here\"\n",
        "[auth]\nkeys = [{ algorithm = \"none\", secret = \"x\" }]\n",
    ] {
        let problems = problems(&file(text));
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
    assert_eq!(
        problems(&file("[delivery]\nack_wait_ms = -1\nredeliveries_max = 4294967296\n")),
        [
            "delivery.ack_wait_ms = -1 (x.toml): must not be negative",
            "delivery.redeliveries_max = 4294967296 (x.toml): is too large",
        ]
    );
    let flags = vec![pair("delivery.ack_wait_ms", "99999999999999999999")];
    assert_eq!(
        problems(&Sources { flags, ..file("") }),
        ["delivery.ack_wait_ms = \"99999999999999999999\" (a flag): is too large"]
    );
    let problem = &problems(&file("[server]\nlisten = \"here\"\n"))[0];
    assert_eq!(
        problem,
        "server.listen = \"here\" (x.toml): must be an IP address and a port: 127.0.0.1:3000"
    );
}

#[test]
fn a_value_that_cannot_be_read_hides_no_other_problem() {
    let text = "[server]\nlisten = \"localhost:3000\"\n[auth]\non_expiry = \"kill\"\n\
                [delivery]\nin_flight_max = 0\n";
    let problems = problems(&file(text));
    let named: Vec<_> = problems.iter().filter_map(|problem| problem.split(' ').next()).collect();
    assert_eq!(
        named,
        ["auth.on_expiry", "server.listen", "delivery.in_flight_max"],
        "{problems:?}"
    );
}

#[test]
fn what_is_given_is_what_is_not_the_default() {
    let text = "[delivery]\nack_wait_ms = 3000\ntick_ms = 51\n[auth]\nissuer = \"me\"\n";
    let given = Config::load(&file(text)).unwrap().given;
    let names: Vec<_> = given.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["auth.issuer", "delivery.tick_ms"]);
}

#[test]
fn what_kubernetes_says_of_a_service_is_no_setting() {
    let environment = vec![
        pair("STAFFETTA_SERVICE_HOST", "10.0.0.1"),
        pair("STAFFETTA_SERVICE_PORT", "3000"),
        pair("STAFFETTA_SERVICE_PORT_HTTP", "3000"),
        pair("STAFFETTA_PORT", "tcp://10.0.0.1:3000"),
        pair("STAFFETTA_HUB_PORT_3000_TCP", "tcp://10.0.0.1:3000"),
        pair("STAFFETTA_HUB_PORT_3000_TCP_ADDR", "10.0.0.1"),
    ];
    assert!(Config::load(&Sources { environment, ..Sources::default() }).is_ok());
    let environment = vec![pair("STAFFETTA_SERVER_PORT", "3000")];
    assert!(Config::load(&Sources { environment, ..Sources::default() }).is_err());
}

#[test]
fn keys_must_fit_their_algorithm_and_api_keys_must_allow_something() {
    let text = "[auth]\nkeys = [\n\
        { algorithm = \"HS256\", secret = \"short-and-secret\" },\n\
        { algorithm = \"HS256\", pem_file = \"x.pem\" },\n\
        { algorithm = \"RS256\", secret = \"0123456789012345678901234567890123456789\" },\n\
        ]\napi_keys = [{ name = \"a\", sha256 = \"12\", scopes = [] },\n\
        { name = \"b\", sha256 = \"12\", scopes = [\"publish\", \"root\"] }]\n";
    let problems = problems(&file(text));
    assert_eq!(
        problems,
        [
            "auth.keys[0]: secret has fewer than 32 bytes",
            "auth.keys[1]: HS256 needs exactly one of secret and secret_file",
            "auth.keys[2]: RS256, ES256 and EdDSA need pem_file, and nothing else",
            "auth.api_keys[0].sha256: must be 64 hexadecimal characters",
            "auth.api_keys[0].scopes: must name at least one of \"publish\" and \"admin\"",
            "auth.api_keys[1].sha256: must be 64 hexadecimal characters",
            "auth.api_keys[1].scopes: \"root\" is unknown; \"publish\" and \"admin\" are known",
        ]
    );
    assert!(!problems.concat().contains("short-and-secret"));
}

#[test]
fn a_file_that_is_no_toml_is_named_with_its_line() {
    let problems = problems(&file("[delivery\n"));
    assert!(problems[0].starts_with("x.toml: ") && problems[0].contains("line 1"), "{problems:?}");
}

#[test]
fn a_webhook_needs_a_url_and_a_secret_and_shows_neither() {
    let secret = "0123456789abcdef0123456789abcdef";
    let good = format!("commands_url = \"https://u:hunter2@h/c\"\nsecret = \"{secret}\"\n");
    let settings = Config::load(&file(&format!("[webhooks]\n{good}"))).unwrap();
    let shown = format!("{settings:?}");
    assert!(!shown.contains("hunter2") && !shown.contains(secret), "{shown}");
    for (text, problem) in [
        (
            "events_url = \"http://h\"",
            "webhooks.secret: (or secret_file) is needed to sign what is posted",
        ),
        (
            "commands_url = \"ftp://u:hunter2@h\"\nsecret_file = \"s\"",
            "webhooks.commands_url (x.toml): must be an http:// or https:// URL",
        ),
        (
            "events_url = \"https://\"\nsecret_file = \"s\"",
            "webhooks.events_url (x.toml): must be an http:// or https:// URL",
        ),
        ("secret = \"hunter2\"", "webhooks.secret (x.toml): has fewer than 32 bytes"),
        (
            "secret = \"hunter2\"\nsecret_file = \"s\"",
            "webhooks.secret (x.toml): must not stand beside secret_file",
        ),
    ] {
        assert_eq!(problems(&file(&format!("[webhooks]\n{text}\n"))), [problem]);
    }
    assert_eq!(problems(&file("[webhooks]\nevents = [\"everything\"]\n")).len(), 1);
}

#[test]
fn a_key_set_has_an_address() {
    let problem = "auth.jwks_url (x.toml): must be an http:// or https:// URL";
    assert_eq!(problems(&file("[auth]\njwks_url = \"keys.json\"\n")), [problem]);
    assert!(Config::load(&file("[auth]\njwks_url = \"https://h/keys\"\n")).is_ok());
}
