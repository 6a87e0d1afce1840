//! Network namespaces: finding, entering, leaving them, and letting them die.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use tcpwatch::kernel::{
    capabilities::{self, CapabilitySet},
    netns::{HOST, Namespace, NamespaceThread, NetnsError, Target, discover, own_inode},
    sock_diag::{DiagSocket, Family, Request, StateMask},
    sysctl::{self, SynSysctls},
};

use crate::fixture::{
    eventually,
    namespace::{TestNamespace, ip},
    shared,
};

fn found(inode: u32) -> Option<Namespace> {
    discover()
        .unwrap()
        .list
        .into_iter()
        .find(|namespace| namespace.inode == inode)
}

/// The namespace that the calling thread is in.
fn inode_of_this_thread() -> u32 {
    u32::try_from(fs::metadata("/proc/thread-self/ns/net").unwrap().ino()).unwrap()
}

/// A cable from `from` to `to`. Its end at `from` disappears when `to` is freed, and not before: so it
/// shows what no file in /proc does.
fn cable(from: &TestNamespace, to: &TestNamespace) {
    ip(&[
        "-n", &from.name, "link", "add", "cable", "type", "veth", "peer", "name", "far", "netns",
        &to.name,
    ]);
}

fn has_cable(namespace: &TestNamespace) -> bool {
    namespace.run(|| {
        fs::read_to_string("/proc/thread-self/net/dev")
            .unwrap()
            .contains("cable")
    })
}

/// Everything tcpwatch does with a namespace.
fn look_at(thread: &NamespaceThread, target: Target) {
    let job = || {
        let mut socket = DiagSocket::open().unwrap();
        socket
            .collect(&Request::new(Family::V4, StateMask::ALL))
            .unwrap();
        SynSysctls::read().unwrap()
    };
    thread.blocking_run_in(target, job).unwrap();
}

#[test]
fn a_named_namespace_is_found_under_its_name() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let found = found(namespace.inode()).unwrap();
    assert_eq!(found.name.as_deref(), Some(namespace.name.as_str()));
    assert_eq!(found.path, namespace.path());
    let host = &discover().unwrap().list[0];
    assert_eq!(host.name.as_deref(), Some(HOST));
    assert_ne!(host.inode, namespace.inode());
}

#[test]
fn a_namespace_without_a_name_is_found_by_its_process() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let inode = namespace.inode();
    let mut inside = Command::new("ip")
        .args([
            "netns",
            "exec",
            &namespace.name,
            "sh",
            "-c",
            "echo in; read line",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 3];
    std::io::Read::read_exact(inside.stdout.as_mut().unwrap(), &mut said).unwrap();
    namespace.delete();

    let unnamed = found(inode).unwrap();
    assert_eq!(unnamed.name, None);
    assert_eq!(
        unnamed.path,
        PathBuf::from(format!("/proc/{}/ns/net", inside.id()))
    );
    let thread = NamespaceThread::spawn().unwrap();
    look_at(&thread, unnamed.target());

    inside.stdin.take().unwrap().write_all(b"\n").unwrap();
    inside.wait().unwrap();
    assert_eq!(found(inode), None);
    let error = thread.blocking_run_in(unnamed.target(), || ()).unwrap_err();
    assert!(error.is_gone(), "{error}");
}

#[test]
fn a_stale_name_is_no_namespace() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let name = format!("{}-stale", namespace.name);
    let path = namespace.path().with_file_name(&name);
    fs::write(&path, "").unwrap();
    let names: Vec<_> = discover()
        .unwrap()
        .list
        .into_iter()
        .filter_map(|found| found.name)
        .collect();
    fs::remove_file(&path).unwrap();
    assert!(!names.contains(&name), "{names:?}");
}

#[test]
fn a_namespace_that_was_looked_at_is_freed_when_it_is_deleted() {
    let _kernel = shared();
    let witness = TestNamespace::new();
    let namespace = TestNamespace::new();
    cable(&witness, &namespace);
    let thread = NamespaceThread::spawn().unwrap();
    let target = found(namespace.inode()).unwrap().target();
    for _ in 0..3 {
        look_at(&thread, target.clone());
        discover().unwrap();
    }
    assert!(has_cable(&witness));

    let inode = namespace.inode();
    namespace.delete();
    assert_eq!(found(inode), None);
    let handle = format!("net:[{inode}]");
    for descriptor in fs::read_dir("/proc/self/fd").unwrap() {
        if let Ok(link) = fs::read_link(descriptor.unwrap().path()) {
            assert_ne!(link, Path::new(&handle), "a handle is still open");
        }
    }
    eventually("the cable is gone with the namespace", || {
        (!has_cable(&witness)).then_some(())
    });
    let error = thread.blocking_run_in(target, || ()).unwrap_err();
    assert!(error.is_gone(), "{error}");
}

#[test]
fn a_socket_that_is_kept_keeps_its_namespace() {
    let _kernel = shared();
    // The counter-proof of the test above: the cable tells.
    let witness = TestNamespace::new();
    let namespace = TestNamespace::new();
    cable(&witness, &namespace);
    let socket = namespace.run(|| DiagSocket::open().unwrap());
    namespace.delete();
    assert!(has_cable(&witness));
    drop(socket);
    eventually("the cable is gone with the socket", || {
        (!has_cable(&witness)).then_some(())
    });
}

#[test]
fn entering_moves_no_other_thread_and_ends_at_home() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let home = inode_of_this_thread();
    let thread = NamespaceThread::spawn().unwrap();
    let (entered, wait_entered) = mpsc::channel();
    let (leave, wait_leave) = mpsc::channel::<()>();
    let job = move || {
        entered.send(inode_of_this_thread()).unwrap();
        wait_leave.recv().unwrap();
    };
    let target = namespace.target();
    let travelling = {
        let thread = thread.clone();
        thread::spawn(move || thread.blocking_run_in(target, job).unwrap())
    };
    assert_eq!(wait_entered.recv().unwrap(), namespace.inode());
    assert_eq!(inode_of_this_thread(), home);
    assert_eq!(own_inode().unwrap(), home);
    assert_eq!(thread::spawn(inode_of_this_thread).join().unwrap(), home);
    leave.send(()).unwrap();
    travelling.join().unwrap();
    assert_eq!(
        thread
            .blocking_run_in(Target::Own, inode_of_this_thread)
            .unwrap(),
        home
    );
}

#[test]
fn a_panic_in_a_namespace_ends_at_home() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let thread = NamespaceThread::spawn().unwrap();
    let result = thread.blocking_run_in(namespace.target(), || panic!("as the test wants"));
    assert!(matches!(result, Err::<(), _>(NetnsError::Panicked(_))));
    let home = inode_of_this_thread();
    assert_eq!(
        thread
            .blocking_run_in(Target::Own, inode_of_this_thread)
            .unwrap(),
        home
    );
}

#[test]
fn another_namespace_than_the_expected_is_not_entered() {
    let _kernel = shared();
    let (namespace, other) = (TestNamespace::new(), TestNamespace::new());
    let target = Target::Path(namespace.path(), other.inode());
    let thread = NamespaceThread::spawn().unwrap();
    let error = thread.blocking_run_in(target, || ()).unwrap_err();
    assert!(matches!(error, NetnsError::Replaced { .. }), "{error}");
}

#[test]
fn a_thread_that_cannot_go_home_refuses_further_jobs() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let thread = NamespaceThread::spawn().unwrap();
    let lose_all = || capabilities::keep_only(CapabilitySet::empty()).unwrap();
    thread
        .blocking_run_in(namespace.target(), lose_all)
        .unwrap();
    for target in [Target::Own, namespace.target()] {
        let error = thread.blocking_run_in(target, || ()).unwrap_err();
        assert!(matches!(error, NetnsError::Stranded(_)), "{error}");
        assert!(error.to_string().contains("not permitted"), "{error}");
    }
}

#[test]
fn a_thread_without_the_capability_is_refused_and_stays_at_home() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let thread = NamespaceThread::spawn().unwrap();
    let lose_all = || capabilities::keep_only(CapabilitySet::empty()).unwrap();
    thread.blocking_run_in(Target::Own, lose_all).unwrap();
    let error = thread
        .blocking_run_in(namespace.target(), || ())
        .unwrap_err();
    assert!(error.to_string().contains("CAP_SYS_ADMIN"), "{error}");
    let home = inode_of_this_thread();
    assert_eq!(
        thread
            .blocking_run_in(Target::Own, inode_of_this_thread)
            .unwrap(),
        home
    );
}

#[test]
fn a_sysctl_is_read_from_the_namespace_that_the_thread_is_in() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let name = "net.ipv4.tcp_syn_retries";
    let outside = sysctl::read(name).unwrap();
    let unlike = if outside == "3" { "4" } else { "3" };
    namespace.run(move || fs::write("/proc/sys/net/ipv4/tcp_syn_retries", unlike).unwrap());

    let read = || {
        (
            sysctl::read("net.ipv4.tcp_syn_retries").unwrap(),
            SynSysctls::read().unwrap(),
        )
    };
    let (text, sysctls) = namespace.run(read);
    assert_eq!(text, unlike);
    assert_eq!(sysctls.syn_retries.to_string(), unlike);
    assert_eq!(read().0, outside);
    let thread = NamespaceThread::spawn().unwrap();
    assert_eq!(
        thread.blocking_run_in(Target::Own, read).unwrap().0,
        outside
    );
}
