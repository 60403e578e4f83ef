//! The responder, among others who ask, know the answer already, or want the same name.

mod support;

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;

use domain::base::iana::Class;
use domain::base::{Message, MessageBuilder, Rtype, Ttl};
use domain::rdata::{A, AllRecordData};
use landfall_names::responder::{GROUP, GROUP_6, Host, PORT, respond};
use support::{Bytes, Socket, name, now_ms, run};

const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

struct Machine {
    addresses: RefCell<Vec<IpAddr>>,
}

impl Host for Machine {
    fn addresses(&self) -> Vec<IpAddr> {
        self.addresses.borrow().clone()
    }

    async fn changed(&self, known: &[IpAddr]) {
        poll_fn(|_| match *self.addresses.borrow() == known {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
    }

    fn is_near(&self, peer: IpAddr) -> bool {
        matches!(peer, IpAddr::V4(peer) if peer.octets()[..3] == [192, 0, 2])
    }

    fn random(&self) -> u16 {
        7
    }
}

/// After so many milliseconds, something happens.
type Act<'a> = (u64, &'a mut dyn FnMut(&Scene));

struct Scene {
    socket: Socket,
    machine: Rc<Machine>,
}

impl Scene {
    fn new() -> Self {
        Self {
            socket: Socket::new(|_, _| vec![]),
            machine: Rc::new(Machine {
                addresses: RefCell::new(vec![OWN.into()]),
            }),
        }
    }

    /// Lets `ms` pass, then does `what`, and so on; returns what was sent, with times.
    fn play(&self, acts: &mut [Act<'_>]) -> Vec<Said> {
        let begin = now_ms();
        let mut socket = self.socket.clone();
        let machine = self.machine.clone();
        let mut act = 0;
        let end = poll_fn(|_| {
            while let Some((at, what)) = acts.get_mut(act)
                && now_ms() >= begin + *at
            {
                what(self);
                act += 1;
            }
            Poll::<()>::Pending
        });
        run(10_000, respond(&mut socket, "2048", &*machine, "net", end));
        self.said(begin)
    }

    fn said(&self, begin: u64) -> Vec<Said> {
        let sent = self.socket.sent.take().into_iter();
        sent.map(|(at, (bytes, to))| Said::read(at - begin, &bytes, to))
            .collect()
    }

    fn hear(&self, bytes: &[u8], from: SocketAddr) {
        self.socket
            .incoming
            .borrow_mut()
            .push_back((bytes.to_vec(), from));
    }
}

/// A message of the responder.
#[derive(Debug, PartialEq)]
struct Said {
    at: u64,
    to: SocketAddr,
    is_answer: bool,
    questions: Vec<String>,
    /// Owner, address, seconds, and whether what was known is to be forgotten.
    answers: Vec<(String, IpAddr, u32, bool)>,
    claims: usize,
}

impl Said {
    fn read(at: u64, bytes: &[u8], to: SocketAddr) -> Self {
        let message = Message::from_octets(bytes).unwrap();
        let questions = message.question().flatten();
        let answers = message.answer().unwrap().flatten();
        Self {
            at,
            to,
            is_answer: message.header().qr(),
            questions: questions.map(|it| it.qname().to_string()).collect(),
            answers: answers
                .map(|it| {
                    let flush = it.class() == Class::from_int(0x8001);
                    let (owner, ttl) = (it.owner().to_string(), it.ttl().as_secs());
                    let record = it.to_record::<AllRecordData<_, _>>().unwrap().unwrap();
                    let address: IpAddr = match record.data() {
                        AllRecordData::A(a) => a.addr().into(),
                        AllRecordData::Aaaa(a) => a.addr().into(),
                        other => panic!("{other:?}"),
                    };
                    (owner, address, ttl, flush)
                })
                .collect(),
            claims: message.authority().unwrap().flatten().count(),
        }
    }

    fn has(&self, owner: &str) -> bool {
        self.answers == [(owner.to_owned(), OWN.into(), 120, true)]
    }
}

fn group() -> SocketAddr {
    (GROUP, PORT).into()
}

fn question(asked: &str, kind: Rtype, id: u16, known: Option<Ttl>) -> Vec<u8> {
    let mut builder = MessageBuilder::from_target(Bytes::default()).unwrap();
    builder.header_mut().set_id(id);
    let mut builder = builder.question();
    builder.push((name(asked), kind)).unwrap();
    let mut builder = builder.answer();
    if let Some(ttl) = known {
        builder.push((name(asked), ttl, A::new(OWN))).unwrap();
    }
    builder.finish().to_vec()
}

/// Says that `owner` is another's.
fn claim(owner: &str, address: Ipv4Addr) -> Vec<u8> {
    let mut builder = MessageBuilder::from_target(Bytes::default()).unwrap();
    builder.header_mut().set_qr(true);
    let mut builder = builder.answer();
    let ttl = Ttl::from_secs(120);
    builder.push((name(owner), ttl, A::new(address))).unwrap();
    builder.finish().to_vec()
}

/// Another asks whether it may have `owner` for `address`.
fn probe(owner: &str, address: Ipv4Addr) -> Vec<u8> {
    let mut builder = MessageBuilder::from_target(Bytes::default())
        .unwrap()
        .question();
    builder.push((name(owner), Rtype::ANY)).unwrap();
    let mut builder = builder.authority();
    let ttl = Ttl::from_secs(120);
    builder.push((name(owner), ttl, A::new(address))).unwrap();
    builder.finish().to_vec()
}

fn neighbour() -> SocketAddr {
    (NEIGHBOUR, PORT).into()
}

#[test]
fn a_name_is_asked_for_thrice_and_told_twice() {
    let said = Scene::new().play(&mut []);
    assert!(said.iter().all(|it| it.to == group()));
    let (probes, tellings) = said.split_at(3);
    for probe in probes {
        assert_eq!((probe.is_answer, probe.claims), (false, 1));
        assert_eq!(probe.questions, ["2048.local"]);
    }
    let pause = probes[2].at - probes[1].at;
    assert!((250..=260).contains(&pause), "{pause}");
    assert_eq!(tellings.len(), 2, "{said:?}");
    assert!(
        tellings
            .iter()
            .all(|it| it.is_answer && it.has("2048.local"))
    );
    assert!(tellings[1].at >= tellings[0].at + 1000);
}

#[test]
fn questions_are_answered_to_all_at_most_once_a_second() {
    let ask = |scene: &Scene| scene.hear(&question("2048.LOCAL", Rtype::A, 0, None), neighbour());
    let said = Scene::new().play(&mut [
        (5000, &mut |scene| ask(scene)),
        (5100, &mut |scene| ask(scene)),
        (6500, &mut |scene| ask(scene)),
    ]);
    let answers: Vec<_> = said.iter().filter(|it| it.at >= 4900).collect();
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|it| it.has("2048.local") && it.to == group())
    );
}

#[test]
fn nobody_is_told_what_is_known_or_not_asked_or_no_business_of_theirs() {
    let far = SocketAddr::from(([198, 51, 100, 1], PORT));
    let said = Scene::new().play(&mut [(5000, &mut |scene| {
        let half = Some(Ttl::from_secs(60));
        scene.hear(&question("2048.local", Rtype::A, 0, half), neighbour());
        scene.hear(&question("2049.local", Rtype::A, 0, None), neighbour());
        scene.hear(&question("2048.local", Rtype::AAAA, 0, None), neighbour());
        scene.hear(&question("2048.local", Rtype::TXT, 0, None), neighbour());
        scene.hear(&question("2048.local", Rtype::A, 0, None), far);
        scene.hear(&[], neighbour());
        scene.hear(&[0; 11], neighbour());
        scene.hear(&[0xff; 200], neighbour());
    })]);
    assert!(said.iter().all(|it| it.at < 4900), "{said:?}");
    // Less than half of the time left is as good as not known.
    let said = Scene::new().play(&mut [(5000, &mut |scene| {
        let late = Some(Ttl::from_secs(59));
        scene.hear(&question("2048.local", Rtype::A, 0, late), neighbour());
    })]);
    assert_eq!(said.iter().filter(|it| it.at >= 4900).count(), 1);
}

#[test]
fn plain_dns_is_answered_as_such() {
    let client = SocketAddr::from((NEIGHBOUR, 40_000));
    let said = Scene::new().play(&mut [(5000, &mut |scene| {
        scene.hear(&question("2048.local", Rtype::A, 77, None), client);
    })]);
    let answer = said.last().unwrap();
    assert_eq!((answer.to, answer.is_answer), (client, true));
    assert_eq!(answer.questions, ["2048.local"]);
    assert_eq!(
        answer.answers,
        [("2048.local".to_owned(), IpAddr::V4(OWN), 10, false)]
    );
}

#[test]
fn a_name_that_is_taken_is_left_to_its_owner() {
    let said = Scene::new().play(&mut [
        (400, &mut |scene| {
            scene.hear(&claim("2048.local", NEIGHBOUR), neighbour());
        }),
        (600, &mut |scene| {
            scene.hear(&claim("2048-2.local", NEIGHBOUR), neighbour());
        }),
    ]);
    let last = said.last().unwrap();
    assert!(last.has("2048-3.local"), "{last:?}");
    assert!(
        said.iter()
            .all(|it| !it.is_answer || it.has("2048-3.local"))
    );
    // From another port than that of responders it says nothing.
    let liar = SocketAddr::from((NEIGHBOUR, 1234));
    let said = Scene::new().play(&mut [(400, &mut |scene| {
        scene.hear(&claim("2048.local", NEIGHBOUR), liar);
    })]);
    assert!(said.last().unwrap().has("2048.local"));
}

#[test]
fn of_two_that_ask_at_once_the_greater_wins() {
    // Ours is the lesser: it steps back for a second, and then nobody objects.
    let said = Scene::new().play(&mut [(300, &mut |scene| {
        scene.hear(
            &probe("2048.local", Ipv4Addr::new(192, 0, 2, 10)),
            neighbour(),
        );
    })]);
    let first = said.iter().find(|it| it.is_answer).unwrap();
    assert!(first.at > 1900 && first.has("2048.local"), "{said:?}");
    let said = Scene::new().play(&mut [(300, &mut |scene| {
        scene.hear(
            &probe("2048.local", Ipv4Addr::new(192, 0, 2, 8)),
            neighbour(),
        );
    })]);
    let first = said.iter().find(|it| it.is_answer).unwrap();
    assert!(first.at < 900 && first.has("2048.local"), "{said:?}");
    // Once it is ours, whoever asks for it is told at once.
    let said = Scene::new().play(&mut [(2100, &mut |scene| {
        scene.hear(&probe("2048.local", NEIGHBOUR), neighbour());
    })]);
    let told = said
        .iter()
        .filter(|it| it.at >= 2000 && it.is_answer)
        .count();
    assert!(told >= 1, "{said:?}");
}

#[test]
fn other_addresses_are_told() {
    let six: IpAddr = "2001:db8::9".parse().unwrap();
    let said = Scene::new().play(&mut [(5000, &mut |scene| {
        scene.machine.addresses.borrow_mut().push(six);
    })]);
    let told: Vec<_> = said.iter().filter(|it| it.at >= 4900).collect();
    let groups: Vec<_> = told.iter().map(|it| it.to).collect();
    let group_6 = SocketAddr::from((GROUP_6, PORT));
    assert_eq!(groups, [group(), group_6, group(), group_6]);
    assert!(told.iter().all(|it| it.answers.len() == 2 && it.is_answer));
}

#[test]
fn nothing_is_said_without_an_address() {
    let scene = Scene::new();
    scene.machine.addresses.borrow_mut().clear();
    let said = scene.play(&mut [(4000, &mut |scene| {
        scene.machine.addresses.borrow_mut().push(OWN.into());
    })]);
    assert_eq!(said.len(), 5);
    assert!(said[0].at >= 4000 && !said[0].is_answer, "{said:?}");
}

#[test]
fn the_end_is_told() {
    let scene = Scene::new();
    let (mut socket, machine) = (scene.socket.clone(), scene.machine.clone());
    let begin = now_ms();
    let end = poll_fn(|_| match now_ms() >= begin + 5000 {
        true => Poll::Ready(()),
        false => Poll::Pending,
    });
    let ended = run(10_000, respond(&mut socket, "2048", &*machine, "net", end));
    assert_eq!(ended, Some(Ok(())));
    let said = scene.said(begin);
    let (_, address, ttl, _) = said.last().unwrap().answers[0];
    assert_eq!((address, ttl), (IpAddr::V4(OWN), 0));
}

#[test]
fn a_name_that_cannot_be_is_not_answered_for() {
    for wrong in ["", "a.b", &"x".repeat(64)] {
        let scene = Scene::new();
        let mut socket = scene.socket.clone();
        let responding = respond(&mut socket, wrong, &*scene.machine, "net", pending());
        assert_eq!(run(1000, responding), Some(Ok(())), "{wrong}");
    }
}

#[test]
fn noise_is_survived() {
    let mut state = 9_u64;
    let said = Scene::new().play(&mut [(3000, &mut |scene| {
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as usize
        };
        for round in 0..20_000 {
            let mut bytes = match round % 3 {
                0 => question("2048.local", Rtype::ANY, 0, Some(Ttl::from_secs(5))),
                1 => claim("2048.local", OWN),
                _ => probe("2048.local", OWN),
            };
            for _ in 0..random() % 4 {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
            bytes.truncate(random() % (bytes.len() + 1));
            scene.hear(&bytes, neighbour());
        }
    })]);
    assert!(said.len() < 200, "{}", said.len());
}
