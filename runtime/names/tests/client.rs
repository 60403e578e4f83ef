//! The client, against servers that answer, lie, fail and fall silent.

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Rtype, Ttl};
use domain::rdata::{A, Aaaa, Cname};
use landfall_names::client::{Family, ResolveError, resolve};
use support::{Bytes, Datagram, Socket, answer_to, name, now_ms, run};

const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const FOUND: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const TIME: Ttl = Ttl::from_secs(60);

type Outcome = Result<Vec<IpAddr>, ResolveError<std::convert::Infallible>>;

fn ask_all(
    servers: &[IpAddr],
    host: &str,
    family: Family,
    peer: impl FnMut(&[u8], SocketAddr) -> Vec<Datagram> + 'static,
) -> Outcome {
    let socket = Socket::new(peer);
    // Each with the datagrams of its own question.
    let open = async || {
        socket.incoming.borrow_mut().clear();
        Ok(socket.clone())
    };
    run(60_000, resolve(open, servers, host, family, 0xbeef)).expect("it ends")
}

fn ask(peer: impl FnMut(&[u8], SocketAddr) -> Vec<Datagram> + 'static) -> Outcome {
    ask_all(&[ONE], "host.example", Family::V4, peer)
}

fn good(question: &[u8]) -> Vec<u8> {
    let mut answer = answer_to(question);
    answer
        .push((name("host.example"), TIME, A::new(FOUND)))
        .unwrap();
    answer.finish().to_vec()
}

#[test]
fn a_question_is_asked_and_its_answer_read() {
    let found = ask(|question, to| {
        assert_eq!(to, (ONE, 53).into());
        let message = Message::from_octets(question).unwrap();
        assert!(message.header().rd() && !message.header().qr());
        let asked = message.sole_question().unwrap();
        assert_eq!(asked.qtype(), Rtype::A);
        assert_eq!(asked.qname().to_string(), "host.example");
        vec![(good(question), to)]
    });
    assert_eq!(found, Ok(vec![FOUND.into()]));
    let six = "2001:db8::1".parse().unwrap();
    let found = ask_all(&[ONE], "Host.Example.", Family::V6, move |question, to| {
        let mut answer = answer_to(question);
        answer
            .push((name("HOST.example"), TIME, Aaaa::new(six)))
            .unwrap();
        vec![(answer.finish().to_vec(), to)]
    });
    assert_eq!(found, Ok(vec![six.into()]));
}

#[test]
fn aliases_are_followed_and_what_belongs_to_others_is_left() {
    let found = ask(|question, to| {
        let mut answer = answer_to(question);
        let alias = |target| Cname::new(name(target));
        answer
            .push((name("host.example"), TIME, alias("www.example")))
            .unwrap();
        answer
            .push((name("www.example"), TIME, alias("far.example")))
            .unwrap();
        answer
            .push((name("other.example"), TIME, A::new(Ipv4Addr::BROADCAST)))
            .unwrap();
        answer
            .push((name("far.example"), TIME, A::new(FOUND)))
            .unwrap();
        vec![(answer.finish().to_vec(), to)]
    });
    assert_eq!(found, Ok(vec![FOUND.into()]));
    // Aliases in a circle lead nowhere.
    let found = ask(|question, to| {
        let mut answer = answer_to(question);
        for (from, target) in [("host.example", "b.example"), ("b.example", "host.example")] {
            answer
                .push((name(from), TIME, Cname::new(name(target))))
                .unwrap();
        }
        vec![(answer.finish().to_vec(), to)]
    });
    assert!(found.is_err(), "{found:?}");
}

#[test]
fn refusals_are_told_apart() {
    let refuse = |code: Rcode| {
        move |question: &[u8], to: SocketAddr| {
            let mut answer = answer_to(question);
            answer.header_mut().set_rcode(code);
            vec![(answer.finish().to_vec(), to)]
        }
    };
    assert_eq!(ask(refuse(Rcode::NXDOMAIN)), Err(ResolveError::NoSuchName));
    assert_eq!(ask(refuse(Rcode::SERVFAIL)), Err(ResolveError::Failed(2)));
    assert_eq!(ask(refuse(Rcode::NOERROR)), Err(ResolveError::NoAddress));
}

#[test]
fn the_next_server_is_asked_when_one_is_silent_or_fails() {
    let before = now_ms();
    let found = ask_all(
        &[ONE, TWO],
        "host.example",
        Family::V4,
        |question, to| match to.ip() == TWO {
            true => vec![(good(question), to)],
            false => vec![],
        },
    );
    assert_eq!(found, Ok(vec![FOUND.into()]));
    assert!((2000..2100).contains(&(now_ms() - before)));
    let before = now_ms();
    let found = ask_all(&[ONE, TWO], "host.example", Family::V4, |question, to| {
        let mut failed = answer_to(question);
        failed.header_mut().set_rcode(Rcode::SERVFAIL);
        match to.ip() == TWO {
            true => vec![(good(question), to)],
            false => vec![(failed.finish().to_vec(), to)],
        }
    });
    assert_eq!(found, Ok(vec![FOUND.into()]));
    assert!(now_ms() - before < 100);
    // A lost datagram is sent again.
    let mut lost = 0;
    let found = ask(move |question, to| {
        lost += 1;
        match lost {
            1 => vec![],
            _ => vec![(good(question), to)],
        }
    });
    assert_eq!(found, Ok(vec![FOUND.into()]));
    // Nobody at all: it ends.
    let before = now_ms();
    assert_eq!(ask(|_, _| vec![]), Err(ResolveError::TimedOut));
    assert!((4000..4100).contains(&(now_ms() - before)));
    let nobody = ask_all(&[], "host.example", Family::V4, |_, _| vec![]);
    assert_eq!(nobody, Err(ResolveError::NoServer));
}

#[test]
fn forged_answers_are_not_believed() {
    let forgery = Ipv4Addr::new(6, 6, 6, 6);
    let found = ask(move |question, to| {
        let forged = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut answer = answer_to(question);
            answer
                .push((name("host.example"), TIME, A::new(forgery)))
                .unwrap();
            let mut bytes = answer.finish().to_vec();
            change(&mut bytes);
            bytes
        };
        let mut other = MessageBuilder::from_target(Bytes::default()).unwrap();
        other.header_mut().set_id(0xbeef);
        other.header_mut().set_qr(true);
        let mut other = other.question();
        other.push((name("else.example"), Rtype::A)).unwrap();
        let mut other = other.answer();
        other
            .push((name("else.example"), TIME, A::new(forgery)))
            .unwrap();
        let whole = forged(&|_| {});
        let mut all = vec![
            // From somebody else, from another port, with another number, as a question, about another name.
            (whole.clone(), (TWO, 53).into()),
            (whole.clone(), (ONE, 54).into()),
            (forged(&|bytes| bytes[1] ^= 1), to),
            (forged(&|bytes| bytes[2] &= 0x7f), to),
            (other.finish().to_vec(), to),
            (vec![], to),
            (vec![0xbe, 0xef], to),
            (vec![0xff; 512], to),
        ];
        // Cut off in the middle of the question.
        all.extend((0..28).map(|length| (whole[..length].to_vec(), to)));
        all.push((good(question), to));
        all
    });
    assert_eq!(found, Ok(vec![FOUND.into()]));
}

#[test]
fn answers_of_any_content_are_survived() {
    let mut state = 1_u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize
    };
    for _ in 0..2000 {
        let (at, value) = (random(), random());
        let cut = random();
        let _ = ask(move |question, to| {
            let mut answer = good(question);
            // The head stays, so that it is taken for the answer.
            let at = 12 + at % (answer.len() - 12);
            answer[at] = value as u8;
            answer.truncate(12 + cut % answer.len());
            vec![(answer, to)]
        });
    }
}

#[test]
fn what_is_no_name_is_not_asked_for() {
    let long_label = "x".repeat(64);
    let long = ["label"; 60].join(".");
    for wrong in ["", "a..b", &long_label, &long, "\\"] {
        let outcome = ask_all(&[ONE], wrong, Family::V4, |_, _| panic!("it is asked for"));
        assert_eq!(outcome, Err(ResolveError::InvalidName), "{wrong}");
    }
}
