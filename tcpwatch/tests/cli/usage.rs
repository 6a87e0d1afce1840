//! Wrong flags, help and version.

use tcpwatch::cli::Exit;

use crate::{check_fails, tcpwatch};

#[test]
fn a_wrong_flag_is_one_line_and_exit_code_2() {
    let check = |line: &str, message: &str| {
        check_fails(
            line,
            &[],
            Exit::Usage,
            &format!("{message}; --help tells more"),
        );
    };
    check(
        "connectoins",
        "unrecognized subcommand 'connectoins'; some similar subcommands exist: \
         'connects', 'connections'",
    );
    check(
        "connections --colour",
        "unexpected argument '--colour' found",
    );
    check(
        "connections --state FOO",
        "invalid value 'FOO' for '--state <STATE>': unknown state; one of established, syn_sent, \
         syn_recv, fin_wait1, fin_wait2, time_wait, close, close_wait, last_ack, listen, closing, \
         new_syn_recv",
    );
    check(
        "connections --older-than 10",
        "invalid value '10' for '--older-than <DURATION>': not a duration; such as 500ms, 10s, 5m \
         or 1h30m",
    );
    for flag in ["connections --remote", "connects --remote"] {
        check(
            &format!("{flag} 10.0.0.9:443"),
            "invalid value '10.0.0.9:443' for '--remote <ADDRESS>': neither an address nor a CIDR \
             block; such as 10.0.0.9 or 10.0.0.0/8",
        );
    }
    check(
        "connections --port 0",
        "invalid value '0' for '--port <PORT>': 0 is not in 1..=65535",
    );
    check(
        "connections --pid x",
        "invalid value 'x' for '--pid <PID>': invalid digit found in string",
    );
    check("connections --limit -1", "unexpected argument '-1' found");
    check(
        "connections --watch 1ms",
        "invalid value '1ms' for '--watch [<INTERVAL>]': at least 100ms",
    );
    check(
        "connections --watch --json",
        "the argument '--watch [<INTERVAL>]' cannot be used with '--json'",
    );
    check(
        "connects --outcome lost",
        "invalid value 'lost' for '--outcome <OUTCOME>': unknown outcome; one of established, \
         refused_rst, refused_icmp, timed_out, host_unreachable, net_unreachable, cancelled, \
         no_local_port, other",
    );
    check(
        "connects --since yesterday",
        "invalid value 'yesterday' for '--since <WHEN>': neither a duration nor a time; such as \
         10m or 2026-01-01T00:00:00Z",
    );
    check(
        "status --url ftp://host",
        "invalid value 'ftp://host' for '--url <URL>': neither unix:/path nor http://host:port",
    );
}

#[test]
fn help_and_version_are_answers() {
    let check = |line: &str, exit: Exit, text: &str| {
        let said = tcpwatch(line, &[], false);
        assert_eq!(said.exit, exit, "{line}");
        assert!(
            said.out.contains(text) || said.err.contains(text),
            "{said:?}"
        );
        said
    };
    let version = check("--version", Exit::Answered, env!("CARGO_PKG_VERSION"));
    assert_eq!(version.err, "");
    let help = check("--help", Exit::Answered, "connections");
    for command in ["daemon", "preflight", "connects", "status", "metrics"] {
        assert!(help.out.contains(command), "{command}");
    }
    check("connections --help", Exit::Answered, "--older-than");
    // Without a command there is nothing to answer.
    check("", Exit::Usage, "connections");
}
