//! rskafka: produce and fetch with each codec, offsets by place.
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use chrono::{TimeZone, Utc};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::{Record, RecordAndOffset};

const RECORDS: i64 = 1000;
const BASE_MS: i64 = 1_000_000_000_000;

type Outcome = Result<(), Box<dyn std::error::Error>>;

async fn check(name: String, body: impl Future<Output = Outcome>) {
    match tokio::time::timeout(Duration::from_secs(30), body).await {
        Ok(Ok(())) => println!("pass {name}"),
        Ok(Err(error)) => println!("fail {name} {}", error.to_string().replace('\n', " ")),
        Err(_) => println!("fail {name} took more than 30 s"),
    }
}

fn expect(holds: bool, what: String) -> Outcome {
    if holds {
        Ok(())
    } else {
        Err(what.into())
    }
}

async fn partition(client: &Client, topic: &str) -> Result<PartitionClient, Box<dyn std::error::Error>> {
    Ok(client.partition_client(topic, 0, UnknownTopicHandling::Retry).await?)
}

fn record(i: i64) -> Record {
    Record {
        key: Some(format!("key-{}", i % 7).into_bytes()),
        value: Some(format!("value-{i}").into_bytes()),
        headers: BTreeMap::from([("h".to_owned(), i.to_string().into_bytes())]),
        timestamp: Utc.timestamp_millis_opt(BASE_MS + i).unwrap(),
    }
}

async fn produce(client: &Client, topic: &str, compression: Compression) -> Outcome {
    let partition = partition(client, topic).await?;
    for batch in 0..10 {
        let first = batch * RECORDS / 10;
        let records = (first..first + RECORDS / 10).map(record).collect();
        let answer = partition.produce(records, compression).await?;
        expect(answer[0] == first, format!("answered offset {} for {first}", answer[0]))?;
    }
    Ok(())
}

async fn read(client: &Client, topic: &str) -> Result<Vec<RecordAndOffset>, Box<dyn std::error::Error>> {
    let partition = partition(client, topic).await?;
    let mut records: Vec<RecordAndOffset> = Vec::new();
    while (records.len() as i64) < RECORDS {
        let (more, _) = partition.fetch_records(records.len() as i64, 1..100_000, 500).await?;
        records.extend(more);
    }
    Ok(records)
}

async fn consume(client: &Client, topic: &str, own: bool) -> Outcome {
    for (i, got) in (0..).zip(read(client, topic).await?) {
        let expected = record(i);
        let same = got.offset == i && got.record.key == expected.key && got.record.value == expected.value;
        let own_same =
            !own || (got.record.headers == expected.headers && got.record.timestamp == expected.timestamp);
        expect(same && own_same, format!("record {i}"))?;
    }
    Ok(())
}

async fn offsets(client: &Client, topic: &str) -> Outcome {
    let partition = partition(client, topic).await?;
    let first = partition.get_offset(OffsetAt::Earliest).await?;
    let end = partition.get_offset(OffsetAt::Latest).await?;
    expect(first == 0 && end == RECORDS, format!("{first}..{end}"))
}

async fn metadata(client: &Client) -> Outcome {
    let topics = client.list_topics().await?;
    let seed = topics.iter().find(|topic| topic.name == "seed-none").ok_or("seed-none is not listed")?;
    expect(seed.partitions.len() == 3, format!("{} partitions", seed.partitions.len()))
}

#[tokio::main]
async fn main() -> Outcome {
    let bootstrap = std::env::args().nth(1).ok_or("wanted: HOST:PORT")?;
    let client = ClientBuilder::new(vec![bootstrap]).build().await?;
    let codecs = [
        ("none", Compression::NoCompression),
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
    ];
    check("metadata".to_owned(), metadata(&client)).await;
    for (name, compression) in codecs {
        let topic = format!("rskafka-{name}");
        check(format!("reads-kcat-{name}"), consume(&client, &format!("seed-{name}"), false)).await;
        check(format!("produce-{name}"), produce(&client, &topic, compression)).await;
        check(format!("consume-{name}"), consume(&client, &topic, true)).await;
    }
    check("offsets".to_owned(), offsets(&client, "rskafka-lz4")).await;
    Ok(())
}
