package dev.assay.bench;

/**
 * The fields of a canonical trade that the windows need, read from its bytes without any object.
 *
 * <p>Reads the layout that the feed writes and nothing else, as the processor's own scanner does: a JSON library would be
 * the slower choice. One object is used for all records.
 */
final class Trade {
  private static final byte[] PRICE = bytes("\"price\":\"");
  private static final byte[] QUANTITY = bytes("\",\"quantity\":\"");
  private static final byte[] EVENT_TIME = bytes("\"event_time_us\":");
  private static final int SCALE_DIGITS = 8;

  /** Scaled by 1e-8. */
  long price;

  /** Scaled by 1e-8. */
  long quantity;

  /** Since the Unix epoch. */
  long second;

  private byte[] json;
  private int at;

  /** Takes over a value; throws where it is no trade, since the log of the benchmark holds nothing else. */
  void read(byte[] value) {
    json = value;
    at = 0;
    skipTo(PRICE);
    price = decimal();
    skipTo(QUANTITY);
    quantity = decimal();
    skipTo(EVENT_TIME);
    second = integer() / 1_000_000;
  }

  /** Goes behind the next occurrence of a word. */
  private void skipTo(byte[] word) {
    for (int start = at; start + word.length <= json.length; start++) {
      if (isAt(start, word)) {
        at = start + word.length;
        return;
      }
    }
    throw new IllegalArgumentException("not a trade: " + new String(json));
  }

  private boolean isAt(int start, byte[] word) {
    for (int offset = 0; offset < word.length; offset++) {
      if (json[start + offset] != word[offset]) {
        return false;
      }
    }
    return true;
  }

  private long integer() {
    long number = 0;
    while (isDigit()) {
      number = number * 10 + json[at++] - '0';
    }
    return number;
  }

  private long decimal() {
    long number = integer();
    int digits = 0;
    if (json[at] == '.') {
      int first = ++at;
      while (isDigit()) {
        number = number * 10 + json[at++] - '0';
      }
      digits = at - first;
    }
    for (; digits < SCALE_DIGITS; digits++) {
      number *= 10;
    }
    return number;
  }

  private boolean isDigit() {
    return json[at] >= '0' && json[at] <= '9';
  }

  private static byte[] bytes(String text) {
    return text.getBytes(java.nio.charset.StandardCharsets.US_ASCII);
  }
}
