//! The way to the hub: name, TCP, TLS, MQTT, each told apart.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::finding::{Finding, Findings, good, warning};
use crate::clock::{Clock, wall};
use crate::command::client;
use crate::config::{MqttSettings, RunConfig};
use crate::tls;

/// How long the hub may take for each step.
const PATIENCE: Duration = Duration::from_secs(5);
/// Short: the connection ends at once.
const KEEP_ALIVE_SECONDS: u16 = 10;

pub(super) fn check(findings: &mut Findings, config: &RunConfig) {
    let Some(mqtt) = &config.mqtt else {
        let remedy =
            "name its broker with --mqtt-url, or enrol this node; until then it runs what its ledger says";
        findings.add("hub", warning("no hub is configured", remedy));
        return;
    };
    let stream = match connect(&mqtt.url) {
        Ok(stream) => stream,
        Err(finding) => return findings.add("hub", finding),
    };
    findings.add("hub", good(format!("{} answers", mqtt.url)));
    // As itself the node would push its own running agent off the broker.
    let runs = client::connect(&config.data_dir).is_ok_and(|agent| agent.is_some());
    let id = if runs { format!("{}-doctor", config.node) } else { config.node.to_string() };
    let answer = if mqtt.url.starts_with("mqtts://") {
        match encrypted(mqtt, stream) {
            Ok(mut stream) => {
                findings.add("TLS", good("the hub's certificate is of this fleet"));
                mqtt_answer(&mut stream, &id)
            }
            Err(finding) => return findings.add("TLS", finding),
        }
    } else {
        let mut stream = stream;
        mqtt_answer(&mut stream, &id)
    };
    findings.add("MQTT", judge(answer, runs));
}

fn host_and_port(url: &str) -> (String, u16) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    let usual = if url.starts_with("mqtts") { 8883 } else { 1883 };
    match rest.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => (host.trim_matches(['[', ']']).to_owned(), port),
        None => (rest.to_owned(), usual),
    }
}

fn connect(url: &str) -> Result<TcpStream, Finding> {
    let (host, port) = host_and_port(url);
    let addresses = (host.as_str(), port).to_socket_addrs().map_err(|error| {
        warning(
            format!("{host} does not resolve: {error}"),
            "check the name and this node's DNS; pods run all the same",
        )
    })?;
    let mut last = "no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let _ = stream.set_write_timeout(Some(PATIENCE));
                return Ok(stream);
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(warning(
        format!("{url} does not answer: {last}"),
        "check the network and the firewall on the way to the hub; pods run all the same",
    ))
}

fn encrypted(
    mqtt: &MqttSettings,
    stream: TcpStream,
) -> Result<StreamOwned<ClientConnection, TcpStream>, Finding> {
    let failed = |why: String| {
        let remedy = "check that --ca is this fleet's, that the hub's name is the one in its certificate, and the clock; or enrol this node anew";
        warning(format!("no encrypted connection: {why}"), remedy)
    };
    let files = mqtt.tls.as_ref().ok_or_else(|| failed("no CA is configured".to_owned()))?;
    let config =
        tls::client_config(files, Clock::start(wall())).map_err(|error| failed(format!("{error:#}")))?;
    let name = ServerName::try_from(host_and_port(&mqtt.url).0).map_err(|error| failed(error.to_string()))?;
    let connection =
        ClientConnection::new(Arc::clone(&config), name).map_err(|error| failed(error.to_string()))?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).map_err(|error| failed(error.to_string()))?;
    }
    Ok(stream)
}

/// Connects as this client and gives the broker's code, 0 for welcome.
fn mqtt_answer(stream: &mut (impl Read + Write), id: &str) -> io::Result<u8> {
    stream.write_all(&connect_packet(id))?;
    stream.flush()?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    // Good manners; what becomes of it does not matter.
    let _ = stream.write_all(&[0xe0, 0]);
    let _ = stream.flush();
    match answer {
        [0x20, 2, _, code] => Ok(code),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "what answers is no MQTT broker")),
    }
}

/// CONNECT of MQTT 3.1.1 with a clean session.
fn connect_packet(id: &str) -> Vec<u8> {
    let length = u8::try_from(id.len()).unwrap_or(u8::MAX).min(100);
    let mut packet = vec![0x10, 12 + length, 0, 4];
    packet.extend_from_slice(b"MQTT\x04\x02");
    packet.extend_from_slice(&KEEP_ALIVE_SECONDS.to_be_bytes());
    packet.extend_from_slice(&[0, length]);
    packet.extend_from_slice(&id.as_bytes()[..usize::from(length)]);
    packet
}

fn judge(answer: io::Result<u8>, runs: bool) -> Finding {
    match answer {
        Ok(0) => good("the broker takes this node"),
        // The stand-in has no certificate of its own name.
        Ok(_) if runs => good("the broker answers; the agent that runs was not disturbed"),
        Ok(code) => warning(
            format!("the broker refuses this node (code {code})"),
            "enrol this node anew: `gannet join`; pods run all the same",
        ),
        Err(_) if runs => good("the broker was reached; the agent that runs was not disturbed"),
        Err(error) => warning(
            format!("the broker does not take this node: {error}"),
            "see what the hub's log says of this node; pods run all the same",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (url, host, port) in [
            ("mqtt://hub", "hub", 1883),
            ("mqtts://hub", "hub", 8883),
            ("mqtts://10.0.0.1:99/", "10.0.0.1", 99),
            ("mqtt://[::1]:5", "::1", 5),
        ] {
            assert_eq!(host_and_port(url), (host.to_owned(), port), "{url}");
        }
    }

    struct Broker(Vec<u8>, io::Cursor<Vec<u8>>);

    impl Read for Broker {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            self.1.read(bytes)
        }
    }

    impl Write for Broker {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn answers_of_brokers() {
        let check = |answer: &[u8], expect: Option<u8>| {
            let mut broker = Broker(Vec::new(), io::Cursor::new(answer.to_vec()));
            assert_eq!(mqtt_answer(&mut broker, "gw-1").ok(), expect, "{answer:?}");
            assert!(
                broker.0.starts_with(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x0a\x00\x04gw-1"),
                "{:?}",
                broker.0
            );
        };
        check(&[0x20, 2, 0, 0], Some(0));
        check(&[0x20, 2, 0, 5], Some(5));
        check(b"HTTP/1.1 400", None);
        check(&[], None);
        let refused = judge(Ok(5), false);
        assert!(
            matches!(refused, Finding::Warning { .. }) && matches!(judge(Ok(5), true), Finding::Ok { .. })
        );
    }
}
