package dev.assay.bench;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/**
 * Reads a topic of trades to its end several times in one JVM, each time as an application of its own with empty state, so
 * that the last time shows what a JVM costs that has been running for long.
 *
 * <p>{@code Benchmark BOOTSTRAP TOPIC RECORDS GUARANTEE APPLICATION STATE PASSES} prints {@code pass N begins} when an
 * application begins to read and {@code pass N ends} when its group has committed every record. The results of pass N are
 * in the topic {@code APPLICATION-N-latest}.
 */
public final class Benchmark {
  /** As often as the processor commits. */
  private static final int COMMIT_MS = 500;

  private static final int LOOK_MS = 50;
  /** Between passes: the harness sees the end before anything else begins. */
  private static final int PAUSE_MS = 200;

  private final String bootstrap;
  private final String topic;
  private final long records;
  private final String guarantee;
  private final Path state;
  private final Admin admin;

  private Benchmark(String[] arguments) {
    bootstrap = arguments[0];
    topic = arguments[1];
    records = Long.parseLong(arguments[2]);
    guarantee = arguments[3];
    state = Path.of(arguments[5]);
    admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
  }

  public static void main(String[] arguments) throws Exception {
    Benchmark benchmark = new Benchmark(arguments);
    int passes = Integer.parseInt(arguments[6]);
    for (int pass = 1; pass <= passes; pass++) {
      benchmark.run(pass, arguments[4] + "-" + pass);
    }
  }

  private void run(int pass, String application) throws Exception {
    String latest = application + "-latest";
    createLike(latest);
    try (KafkaStreams streams = new KafkaStreams(topology(latest), settings(application))) {
      streams.setUncaughtExceptionHandler(Benchmark::die);
      streams.setStateListener((now, before) -> tellIfRunning(now, pass));
      streams.start();
      while (committed(application) < records) {
        Thread.sleep(LOOK_MS);
      }
      System.out.println("pass " + pass + " ends");
      Thread.sleep(PAUSE_MS);
    }
  }

  /** Joining the group and opening the stores is over: what the processor has done, too, when it says that it fetches. */
  private static void tellIfRunning(KafkaStreams.State state, int pass) {
    if (state == KafkaStreams.State.RUNNING) {
      System.out.println("pass " + pass + " begins");
    }
  }

  private Topology topology(String latest) {
    Topology topology = new Topology();
    topology.addSource("trades", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), topic);
    topology.addProcessor("windows", Windows::new, "trades");
    for (var store : Windows.stores()) {
      topology.addStateStore(store, "windows");
    }
    topology.addSink("latest", latest, Serdes.String().serializer(), Serdes.String().serializer(), "windows");
    return topology;
  }

  /** Large polls and batches, a cache that holds all of the state, nothing compressed: a catch-up at its cheapest. */
  private Properties settings(String application) {
    Properties settings = new Properties();
    settings.putAll(
        Map.of(
            StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap,
            StreamsConfig.APPLICATION_ID_CONFIG, application,
            StreamsConfig.STATE_DIR_CONFIG, state.toString(),
            StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee,
            StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, COMMIT_MS,
            StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1,
            StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64 << 20));
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 << 10);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100);
    return settings;
  }

  /** Offsets of the log count, and the log begins at zero: their sum is the number of records. */
  private long committed(String application) throws InterruptedException {
    try {
      Map<TopicPartition, OffsetAndMetadata> offsets =
          admin.listConsumerGroupOffsets(application).partitionsToOffsetAndMetadata().get();
      return offsets.values().stream().filter(offset -> offset != null).mapToLong(OffsetAndMetadata::offset).sum();
    } catch (ExecutionException error) {
      // The group is not there until its first member has joined.
      return 0;
    }
  }

  private void createLike(String latest) throws Exception {
    int partitions = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
    admin.createTopics(List.of(new NewTopic(latest, partitions, (short) 1))).all().get();
  }

  private static StreamThreadExceptionResponse die(Throwable error) {
    error.printStackTrace();
    Runtime.getRuntime().halt(1);
    return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
  }
}
