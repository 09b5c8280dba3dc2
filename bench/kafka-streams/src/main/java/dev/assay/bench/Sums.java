package dev.assay.bench;

import java.nio.ByteBuffer;

/** Exact sums over trades: their number, their quantity, and price times quantity in 128 bits. */
final class Sums {
  static final int BYTES = 4 * Long.BYTES;
  private static final double SCALE = 1e8;
  private static final double TWO_TO_64 = 0x1p64;

  long trades;
  private long quantity;
  private long notionalHigh;
  private long notionalLow;

  void addTrade(long price, long quantity) {
    add(1, quantity, Math.multiplyHigh(price, quantity), price * quantity);
  }

  void add(Sums other) {
    add(other.trades, other.quantity, other.notionalHigh, other.notionalLow);
  }

  void subtract(Sums other) {
    long low = notionalLow - other.notionalLow;
    long borrow = Long.compareUnsigned(notionalLow, other.notionalLow) < 0 ? 1 : 0;
    trades -= other.trades;
    quantity -= other.quantity;
    notionalHigh -= other.notionalHigh + borrow;
    notionalLow = low;
  }

  private void add(long trades, long quantity, long high, long low) {
    this.trades += trades;
    this.quantity += quantity;
    notionalLow += low;
    long carry = Long.compareUnsigned(notionalLow, low) < 0 ? 1 : 0;
    notionalHigh += high + carry;
  }

  /** Volume-weighted average price; not a number without trades. */
  double vwap() {
    double low = (notionalLow >>> 1) * 2.0 + (notionalLow & 1);
    return (notionalHigh * TWO_TO_64 + low) / quantity / SCALE;
  }

  void write(ByteBuffer bytes) {
    bytes.putLong(trades).putLong(quantity).putLong(notionalHigh).putLong(notionalLow);
  }

  static Sums read(ByteBuffer bytes) {
    Sums sums = new Sums();
    sums.trades = bytes.getLong();
    sums.quantity = bytes.getLong();
    sums.notionalHigh = bytes.getLong();
    sums.notionalLow = bytes.getLong();
    return sums;
  }
}
