package dev.assay.bench;

import java.nio.ByteBuffer;
import java.util.TreeSet;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * The rolling average of every symbol of a partition, by Assay's rules of event time.
 *
 * <p>Trades fall into seconds. A second closes when the watermark, which is the newest event time of the partition less the
 * lateness, reaches its end; then it enters its symbol's window, and leaves it when the window has passed. Whenever the
 * watermark enters a new second, the symbols whose window changed are sent on.
 */
final class Windows implements Processor<String, byte[], String, String> {
  private static final String SYMBOLS = "symbols";
  private static final String SECONDS = "seconds";

  private static final long LATENESS_S = 2;
  private static final long WINDOW_S = 1_800;
  /** Where the newest second stands among the closed ones; no symbol has this name. */
  private static final Bytes NEWEST = key("", 0);

  private final Trade trade = new Trade();
  /** The keys of the store, so that nothing iterates over it. */
  private final TreeSet<String> names = new TreeSet<>();

  private ProcessorContext<String, String> context;
  private KeyValueStore<String, SymbolState> symbols;
  private KeyValueStore<Bytes, byte[]> seconds;
  private long newest;

  @Override
  public void init(ProcessorContext<String, String> context) {
    this.context = context;
    symbols = context.getStateStore(SYMBOLS);
    seconds = context.getStateStore(SECONDS);
    byte[] stored = seconds.get(NEWEST);
    newest = stored == null ? Long.MIN_VALUE : ByteBuffer.wrap(stored).getLong();
    try (KeyValueIterator<String, SymbolState> all = symbols.all()) {
      all.forEachRemaining(entry -> names.add(entry.key));
    }
  }

  @Override
  public void process(Record<String, byte[]> record) {
    trade.read(record.value());
    // A second of that age is closed.
    if (trade.second + LATENESS_S >= newest) {
      SymbolState state = symbols.get(record.key());
      if (state == null) {
        state = new SymbolState();
        names.add(record.key());
      }
      state.add(trade);
      symbols.put(record.key(), state);
    }
    if (trade.second > newest) {
      advance(trade.second, record.timestamp());
    }
  }

  /** Moves the watermark of every symbol from one whole second to another. */
  private void advance(long second, long timestamp) {
    long before = newest == Long.MIN_VALUE ? second : newest;
    newest = second;
    seconds.put(NEWEST, ByteBuffer.allocate(Long.BYTES).putLong(second).array());
    for (String symbol : names) {
      SymbolState state = symbols.get(symbol);
      boolean changed = close(symbol, state, second - LATENESS_S);
      for (long passed = before; passed < second; passed++) {
        changed |= expire(symbol, state, passed - LATENESS_S - WINDOW_S);
      }
      if (changed) {
        symbols.put(symbol, state);
        String text = state.window.vwap() + " " + state.window.trades;
        context.forward(new Record<>(symbol, text, timestamp));
      }
    }
  }

  /** Closes the seconds before `end`. */
  private boolean close(String symbol, SymbolState state, long end) {
    boolean changed = false;
    while (!state.open.isEmpty() && state.open.get(0).second() < end) {
      SymbolState.OpenSecond closed = state.open.remove(0);
      ByteBuffer bytes = ByteBuffer.allocate(Sums.BYTES);
      closed.sums().write(bytes);
      seconds.put(key(symbol, closed.second()), bytes.array());
      state.window.add(closed.sums());
      changed = true;
    }
    return changed;
  }

  /** Lets a second go, if anything was traded in it. */
  private boolean expire(String symbol, SymbolState state, long second) {
    byte[] gone = seconds.delete(key(symbol, second));
    if (gone == null) {
      return false;
    }
    state.window.subtract(Sums.read(ByteBuffer.wrap(gone)));
    return true;
  }

  private static Bytes key(String symbol, long second) {
    byte[] name = symbol.getBytes(java.nio.charset.StandardCharsets.US_ASCII);
    return Bytes.wrap(ByteBuffer.allocate(name.length + Long.BYTES).put(name).putLong(second).array());
  }

  /** RocksDB behind Streams' cache, with a changelog each: what is written in a commit interval goes out once. */
  static StoreBuilder<?>[] stores() {
    return new StoreBuilder<?>[] {
      Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(SYMBOLS), Serdes.String(), SymbolState.serde())
          .withCachingEnabled(),
      Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(SECONDS), Serdes.Bytes(), Serdes.ByteArray())
          .withCachingEnabled(),
    };
  }
}
