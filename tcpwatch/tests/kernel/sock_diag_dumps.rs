//! Dumps as such: in many parts, left half-read, refused.

use std::{
    collections::BTreeSet,
    net::{TcpListener, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tcpwatch::kernel::sock_diag::{DiagError, DiagSocket, Family, Filter, Request, StateMask};

use crate::{
    fixture::{namespace::TestNamespace, shared},
    sock_diag::{assert_exactly, held, in_states, pair},
};

/// Connections of one listener, both ends of each.
fn crowd(namespace: &TestNamespace, count: usize) -> Vec<TcpStream> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )
    .unwrap();
    namespace.run(move || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let connection = |_| {
            [
                TcpStream::connect(to).unwrap(),
                listener.accept().unwrap().0,
            ]
        };
        (0..count).flat_map(connection).collect()
    })
}

#[test]
fn a_dump_in_many_parts_is_whole() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let streams = crowd(&namespace, 300);
    let expected: Vec<_> = streams.iter().map(held).collect();
    let established = in_states(&namespace, Family::V4, StateMask::ESTABLISHED);
    assert_exactly(&established, &expected);
    let cookies: BTreeSet<_> = established.iter().map(|entry| entry.cookie).collect();
    assert_eq!(cookies.len(), 600);
}

#[test]
fn a_dump_that_was_left_does_not_spoil_the_next() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let _streams = crowd(&namespace, 300);
    namespace.run(|| {
        let mut socket = DiagSocket::open().unwrap();
        let request = Request::new(Family::V4, StateMask::ESTABLISHED);
        let left = catch_unwind(AssertUnwindSafe(|| {
            socket.dump(&request, |_| panic!("the caller's"))
        }));
        assert!(left.is_err());
        let (entries, dumped) = socket.collect(&request).unwrap();
        assert_eq!(
            (entries.len(), dumped.sockets, dumped.malformed),
            (600, 600, 0)
        );
    });
}

#[test]
fn a_request_that_the_kernel_refuses_says_so_and_does_not_spoil_the_next() {
    let _kernel = shared();
    let namespace = TestNamespace::new();
    let pair = pair(&namespace, "127.0.0.1", "127.0.0.1");
    let expected = [held(&pair.client), held(&pair.server)];
    namespace.run(move || {
        let mut socket = DiagSocket::open().unwrap();
        let mut request = Request::new(Family::V4, StateMask::ESTABLISHED);
        request.filter = Some(Filter::Any((0..6000).map(Filter::LocalPort).collect()));
        let error = socket.dump(&request, |_| ()).unwrap_err();
        assert!(matches!(error, DiagError::Filter(_)), "{error}");
        request.filter = None;
        let (entries, _) = socket.collect(&request).unwrap();
        assert_exactly(&entries, &expected);
    });
}
