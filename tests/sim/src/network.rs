//! The way between hub and nodes: a broker in the middle, and two legs to it that lose, double, delay and reorder
//! messages and break. A leg's events wait in the run's queue.

use gannet_protocols_link::{ClientId, LinkEvent, MemoryBroker, Message};

use crate::params::Params;
use crate::queue::Queue;
use crate::random::Random;

/// Who talks: the hub, or a node by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// The hub.
    Hub,
    /// A node.
    Node(usize),
}

/// What happens on the network.
#[derive(Debug, Clone)]
pub enum Wire {
    /// A message gets to the broker.
    AtBroker(Peer, u64, Message),
    /// Something gets to a peer.
    Arrive(Peer, u64, LinkEvent),
    /// A peer tries to connect.
    Connect(Peer, u64),
    /// The broker finds a connection dead.
    Dead(ClientId, u64),
    /// A peer finds its connection dead.
    Lost(Peer, u64),
    /// A partition ends.
    Mend(Peer, u64),
}

/// One peer's connection.
#[derive(Debug)]
struct Leg {
    client: Option<ClientId>,
    /// Counts the peer's processes.
    process: u64,
    /// Counts the peer's connections and their ends.
    life: u64,
    /// Counts the broker's connections of the peer.
    accepted: u64,
    up: bool,
    /// Set while nothing gets through: which partition.
    apart: Option<u64>,
    /// When the last message in order arrives at the broker, and at the peer.
    last: [u64; 2],
}

/// The network.
#[derive(Debug)]
pub struct Network {
    broker: MemoryBroker,
    legs: Vec<Leg>,
    random: Random,
    params: Params,
    healed: bool,
    partitions: u64,
}

fn index(peer: Peer) -> usize {
    match peer {
        Peer::Hub => 0,
        Peer::Node(n) => n + 1,
    }
}

impl Network {
    /// A network of nobody yet.
    pub fn new(params: &Params) -> Self {
        let leg =
            || Leg { client: None, process: 0, life: 0, accepted: 0, up: false, apart: None, last: [0; 2] };
        Self {
            broker: MemoryBroker::default(),
            legs: (0..=params.nodes).map(|_| leg()).collect(),
            random: Random::new(params.seed, "network"),
            params: params.clone(),
            healed: false,
            partitions: 0,
        }
    }

    /// From now on messages suffer.
    pub fn harm(&mut self) {
        self.healed = false;
    }

    /// From now on everything arrives, in order.
    pub fn heal(&mut self) {
        self.healed = true;
        for leg in &mut self.legs {
            leg.apart = None;
        }
    }

    /// A peer's process is there; it connects soon.
    pub fn join(&mut self, peer: Peer, filters: &[String], will: Message, queue: &mut Queue, now: u64) {
        let client = self.broker.client(filters, Some(will));
        let leg = &mut self.legs[index(peer)];
        if let Some(old) = leg.client.replace(client) {
            // The same client id: the broker throws out the old connection when the new one comes.
            queue.push(now + 1, Wire::Dead(old, leg.accepted));
        }
        leg.process += 1;
        let process = leg.process;
        queue.push(now + self.random.between(1, 500), Wire::Connect(peer, process));
    }

    /// A peer's process is gone. The broker may find out late.
    pub fn leave(&mut self, peer: Peer, queue: &mut Queue, now: u64) {
        let late = if self.random.chance(500) { 1 } else { self.random.between(100, 45_000) };
        let leg = &mut self.legs[index(peer)];
        leg.process += 1;
        leg.life += 1;
        leg.up = false;
        if let Some(client) = leg.client {
            queue.push(now + late, Wire::Dead(client, leg.accepted));
        }
    }

    /// Nothing gets from or to a peer for a while.
    pub fn part(&mut self, peer: Peer, millis: u64, queue: &mut Queue, now: u64) {
        self.partitions += 1;
        let (broker_late, peer_late) = (self.random.between(1, 45_000), self.random.between(1, 45_000));
        let leg = &mut self.legs[index(peer)];
        leg.apart = Some(self.partitions);
        if let Some(client) = leg.client.filter(|_| broker_late < millis) {
            queue.push(now + broker_late, Wire::Dead(client, leg.accepted));
        }
        if leg.up && peer_late < millis {
            queue.push(now + peer_late, Wire::Lost(peer, leg.life));
        }
        queue.push(now + millis, Wire::Mend(peer, self.partitions));
    }

    /// The broker starts anew, without what it retained.
    pub fn forget(&mut self, queue: &mut Queue, now: u64) {
        for peer in 0..self.legs.len() {
            let peer = if peer == 0 { Peer::Hub } else { Peer::Node(peer - 1) };
            self.sever(peer, queue, now);
        }
        self.broker.forget_retained();
    }

    /// Breaks a peer's connection: both sides know at once.
    pub fn sever(&mut self, peer: Peer, queue: &mut Queue, now: u64) {
        let leg = &mut self.legs[index(peer)];
        if let Some(client) = leg.client.filter(|_| leg.up) {
            queue.push(now + 1, Wire::Dead(client, leg.accepted));
            queue.push(now + 1, Wire::Lost(peer, leg.life));
        }
    }

    /// A peer sends. What it sends while it is not connected is lost.
    pub fn publish(&mut self, peer: Peer, message: Message, queue: &mut Queue, now: u64) {
        let leg = &self.legs[index(peer)];
        let life = leg.life;
        if leg.up {
            for at in self.travel(peer, 0, now) {
                queue.push(at, Wire::AtBroker(peer, life, message.clone()));
            }
        }
    }

    /// Somebody else who owns the broker sends to a node.
    pub fn forge(&mut self, message: &Message, queue: &mut Queue, now: u64) {
        let forger = self.broker.client(&[], None);
        self.broker.connect(forger);
        self.broker.publish(forger, message);
        self.drain(queue, now);
    }

    /// Something happens. Returns what a peer learns by it.
    pub fn happen(&mut self, what: Wire, queue: &mut Queue, now: u64) -> Option<(Peer, LinkEvent)> {
        match what {
            Wire::AtBroker(peer, life, message) => {
                let leg = &self.legs[index(peer)];
                if let Some(client) = leg.client.filter(|_| leg.life == life && leg.apart.is_none()) {
                    self.broker.publish(client, &message);
                    self.drain(queue, now);
                }
                None
            }
            Wire::Arrive(peer, life, event) => {
                let leg = &self.legs[index(peer)];
                (leg.life == life && leg.up && leg.apart.is_none()).then_some((peer, event))
            }
            Wire::Connect(peer, process) => self.connect(peer, process, queue, now),
            Wire::Dead(client, accepted) => {
                if self.legs.iter().any(|leg| leg.client == Some(client) && leg.accepted != accepted) {
                    return None;
                }
                self.broker.cut(client);
                self.drain(queue, now);
                // A connection that the broker gave up is no use to its peer either.
                let peer = self.legs.iter().position(|leg| leg.client == Some(client) && leg.up)?;
                let life = self.legs[peer].life;
                let peer = if peer == 0 { Peer::Hub } else { Peer::Node(peer - 1) };
                queue.push(now + self.random.between(1, 30_000), Wire::Lost(peer, life));
                None
            }
            Wire::Lost(peer, life) => {
                let again = now + self.random.between(100, 5_000);
                let leg = &mut self.legs[index(peer)];
                if leg.life != life || !leg.up {
                    return None;
                }
                leg.up = false;
                leg.life += 1;
                queue.push(again, Wire::Connect(peer, leg.process));
                Some((peer, LinkEvent::Down { reason: "lost".into() }))
            }
            Wire::Mend(peer, partition) => {
                let leg = &mut self.legs[index(peer)];
                leg.apart = leg.apart.filter(|apart| *apart != partition);
                None
            }
        }
    }

    fn connect(
        &mut self,
        peer: Peer,
        process: u64,
        queue: &mut Queue,
        now: u64,
    ) -> Option<(Peer, LinkEvent)> {
        let again = now + self.random.between(500, 10_000);
        let leg = &mut self.legs[index(peer)];
        if leg.process != process || leg.up {
            return None;
        }
        if leg.apart.is_some() {
            queue.push(again, Wire::Connect(peer, process));
            return None;
        }
        leg.life += 1;
        leg.accepted += 1;
        leg.up = true;
        let client = leg.client?;
        // Its own half-open connection is thrown out first, and its will done.
        self.broker.cut(client);
        self.broker.connect(client);
        self.drain(queue, now);
        None
    }

    /// Sends on what the broker has for its clients.
    fn drain(&mut self, queue: &mut Queue, now: u64) {
        for peer in 0..self.legs.len() {
            let (Some(client), life) = (self.legs[peer].client, self.legs[peer].life) else { continue };
            let peer = if peer == 0 { Peer::Hub } else { Peer::Node(peer - 1) };
            while let Some(event) = self.broker.pop(client) {
                match event {
                    LinkEvent::Down { .. } => {}
                    LinkEvent::Up | LinkEvent::Malformed { .. } => {
                        let at = self.in_order(peer, 1, now + 1);
                        queue.push(at, Wire::Arrive(peer, life, event));
                    }
                    LinkEvent::Message(message) => {
                        for at in self.travel(peer, 1, now) {
                            queue.push(at, Wire::Arrive(peer, life, LinkEvent::Message(message.clone())));
                        }
                    }
                }
            }
        }
    }

    fn in_order(&mut self, peer: Peer, way: usize, at: u64) -> u64 {
        let last = &mut self.legs[index(peer)].last[way];
        *last = at.max(*last);
        *last
    }

    /// When the copies of a message arrive.
    fn travel(&mut self, peer: Peer, way: usize, now: u64) -> Vec<u64> {
        if self.healed {
            return vec![self.in_order(peer, way, now + 2)];
        }
        if self.random.chance(self.params.loss) {
            return Vec::new();
        }
        let delay = self.random.between(1, self.params.delay_millis);
        let mut times = vec![self.in_order(peer, way, now + delay)];
        if self.random.chance(self.params.reorder) {
            times[0] += self.random.between(1, 5_000);
        }
        if self.random.chance(self.params.duplicate) {
            times.push(times[0] + self.random.between(0, 20_000));
        }
        times
    }
}
