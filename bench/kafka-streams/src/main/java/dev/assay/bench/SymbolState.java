package dev.assay.bench;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;

/** A symbol: its seconds that may still receive trades, oldest first, and the sums over the closed ones in the window. */
final class SymbolState {
  final Sums window;
  final List<OpenSecond> open;

  SymbolState() {
    this(new Sums(), new ArrayList<>(4));
  }

  private SymbolState(Sums window, List<OpenSecond> open) {
    this.window = window;
    this.open = open;
  }

  record OpenSecond(long second, Sums sums) {}

  void add(Trade trade) {
    sumsOf(trade.second).addTrade(trade.price, trade.quantity);
  }

  private Sums sumsOf(long second) {
    int at = open.size();
    while (at > 0 && open.get(at - 1).second() >= second) {
      at--;
    }
    if (at == open.size() || open.get(at).second() != second) {
      open.add(at, new OpenSecond(second, new Sums()));
    }
    return open.get(at).sums();
  }

  /** Fixed layout, no field names: the cheapest that a store can be given. */
  static Serde<SymbolState> serde() {
    Serializer<SymbolState> serializer = (topic, state) -> state == null ? null : state.toBytes();
    Deserializer<SymbolState> deserializer = (topic, bytes) -> bytes == null ? null : fromBytes(bytes);
    return Serdes.serdeFrom(serializer, deserializer);
  }

  private byte[] toBytes() {
    ByteBuffer bytes = ByteBuffer.allocate(Sums.BYTES + open.size() * (Long.BYTES + Sums.BYTES));
    window.write(bytes);
    for (OpenSecond second : open) {
      bytes.putLong(second.second());
      second.sums().write(bytes);
    }
    return bytes.array();
  }

  private static SymbolState fromBytes(byte[] value) {
    ByteBuffer bytes = ByteBuffer.wrap(value);
    Sums window = Sums.read(bytes);
    List<OpenSecond> open = new ArrayList<>(4);
    while (bytes.hasRemaining()) {
      open.add(new OpenSecond(bytes.getLong(), Sums.read(bytes)));
    }
    return new SymbolState(window, open);
  }
}
