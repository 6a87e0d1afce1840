//! The daemon as an operator meets it: start, stop, bad input.

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

use crate::fixture::{
    daemon::{Daemon, binary, tcpwatch},
    namespace::TestNamespace,
    shared,
};

/// Runs the binary; it must fail with this code and one line that holds each of these parts.
#[track_caller]
fn refused(command: &mut Command, code: i32, parts: &[&str]) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
    assert!(
        code == 2 || error.trim_end().lines().count() == 1,
        "one line: {error:?}"
    );
}

#[test]
fn sigterm_ends_it_and_leaves_no_socket_behind() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let daemon = Daemon::watching(&namespace);
    let socket = daemon.socket.clone();
    assert!(
        daemon
            .log()
            .lines()
            .next()
            .unwrap()
            .contains("listens on unix:"),
        "{}",
        daemon.log()
    );
    assert!(
        daemon.log().contains("6 of 6 probes are up"),
        "{}",
        daemon.log()
    );
    assert!(daemon.stop().success());
    assert!(!socket.exists());
}

#[test]
fn its_threads_keep_no_privilege_that_they_do_not_need() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let daemon = Daemon::watching(&namespace);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let mut entering = 0;
    for task in tasks {
        let path = task.unwrap().path();
        let status = std::fs::read_to_string(path.join("status")).unwrap();
        let effective = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:\t"))
            .unwrap();
        let effective = u64::from_str_radix(effective, 16).unwrap();
        const SYS_PTRACE: u64 = 1 << 19;
        const SYS_ADMIN: u64 = 1 << 21;
        const BPF: u64 = 1 << 39;
        if effective & SYS_ADMIN != 0 {
            entering += 1;
            assert_eq!(effective, SYS_ADMIN | SYS_PTRACE, "{status}");
        } else {
            assert_eq!(effective, BPF, "{status}");
        }
    }
    assert_eq!(entering, 1, "one thread enters namespaces");
}

#[test]
fn a_second_daemon_on_the_same_socket_or_port_is_refused() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let daemon = Daemon::watching(&namespace);
    let listen = format!("unix:{}", daemon.socket.display());
    refused(
        Command::new(binary()).args(["daemon", "--listen", &listen]),
        1,
        &["cannot listen on unix:", "another tcpwatch answers there"],
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(
        Command::new(binary()).args(["daemon", "--listen", &address]),
        1,
        &["cannot listen on", &address, "the port is in use"],
    );
}

#[test]
fn without_privilege_it_says_which_one_is_missing() {
    let _kernel = shared();
    refused(
        // Another user than root has no capability.
        Command::new(reachable_binary())
            .uid(65534)
            .gid(65534)
            .args(["daemon", "--listen", "unix:/tmp/tcpwatch-refused.sock"]),
        1,
        &[
            "no permission to load eBPF programs",
            "CAP_BPF",
            "CAP_PERFMON",
        ],
    );
}

/// A copy of the binary that every user may run, wherever the build put it.
fn reachable_binary() -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let copy = std::env::temp_dir().join(format!("tcpwatch-{}", std::process::id()));
    if !copy.exists() {
        let building = copy.with_extension("new");
        std::fs::copy(binary(), &building).unwrap();
        std::fs::set_permissions(&building, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&building, &copy).unwrap();
    }
    copy
}

#[test]
fn wrong_words_on_the_command_line_are_usage_errors() {
    let _kernel = shared();
    let case = |arguments: &[&str], parts: &[&str]| {
        refused(Command::new(binary()).args(arguments), 2, parts);
    };
    case(&["daemon", "--bogus"], &["--bogus"]);
    case(
        &["daemon", "--listen", "nowhere"],
        &["neither unix:/PATH nor an IP address"],
    );
    case(&["daemon", "--stall-after", "soon"], &["soon"]);
    case(
        &["daemon", "--hooks", "uprobe"],
        &["uprobe", "not one of fentry, kprobe, tracepoint, poll"],
    );
    case(&["connections", "--state", "foo"], &["foo"]);
}

#[test]
fn an_unknown_namespace_is_one_clear_line() {
    let _kernel = shared();
    refused(
        Command::new(binary()).args([
            "daemon",
            "--netns",
            "nowhere",
            "--listen",
            "unix:/tmp/tcpwatch-nowhere.sock",
        ]),
        1,
        &["--netns nowhere: no such network namespace"],
    );
}

#[test]
fn a_daemon_that_is_not_there_is_one_clear_line() {
    let _kernel = shared();
    let output = tcpwatch(&["--url", "unix:/tmp/tcpwatch-absent.sock", "status"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("/tmp/tcpwatch-absent.sock"), "{error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
}

#[test]
fn preflight_says_what_is_there() {
    let _kernel = shared();
    let output = tcpwatch(&["preflight"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{text}");
    for part in [
        "kernel",
        "privilege",
        "BTF",
        "inet_sock_set_state by tracepoint",
        "can run here",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}
