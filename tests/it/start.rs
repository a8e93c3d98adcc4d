//! What the function does before its first call, and what it survives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};

use crate::dynamodb::{StandIn, Table, closed_port};
use crate::gateway::call;
use crate::lambda::Sandbox;

/// How long a start waits for DynamoDB, and what it may take besides: the machine is shared.
const OPENING: Duration = Duration::from_millis(500);
const SLACK: Duration = Duration::from_secs(3);

/// Passes bytes on, and counts connections.
async fn counting_connections(table: &Table) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let upstream = table.endpoint.strip_prefix("http://").unwrap().to_owned();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let mut server = TcpStream::connect(&upstream).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    (endpoint, connections)
}

#[tokio::test]
async fn the_first_call_finds_the_connection_open() {
    let table = Table::with_samples().await;
    let (endpoint, connections) = counting_connections(&table).await;
    let mut sandbox = Sandbox::start(&endpoint, &[]).await;
    sandbox.polled().await;
    assert_eq!(connections.load(Ordering::Relaxed), 1, "before the first event");
    for _ in 0..2 {
        assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 200);
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1, "after two calls");
}

#[tokio::test]
async fn the_connection_is_opened_by_one_read_of_nothing() {
    let table = Table::with_samples().await;
    let dynamodb = StandIn::counting(&table).await;
    let mut sandbox = Sandbox::start(&dynamodb.endpoint, &[]).await;
    sandbox.polled().await;
    assert_eq!((dynamodb.openings().len(), dynamodb.requests().len()), (1, 0));
}

#[tokio::test]
async fn a_start_survives_a_dynamodb_that_is_not_there_or_says_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for endpoint in [closed_port().await, silent.local_addr().unwrap()] {
        let from = Instant::now();
        let mut sandbox = Sandbox::start(&format!("http://{endpoint}"), &[("STORE_DEADLINE_MS", "100")]).await;
        sandbox.polled().await;
        assert!(from.elapsed() < OPENING + SLACK, "{endpoint}: {:?}", from.elapsed());
        sandbox.log().await;
        assert_eq!(sandbox.invoke(&call("PPP009", "PPP005")).await.status, 503);
        assert_eq!(sandbox.log().await["reason"], "store_unavailable", "the next line after the start's own");
    }
}
