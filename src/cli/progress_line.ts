/**
 * The line of a progress display: what of it there is room for.
 *
 * @module
 */

/** What the line can say, the most important first: title and count, time, details from the front, and a bar. */
export interface Parts {
  readonly title: string;
  /** "120/400 steps". */
  readonly count: string;
  /** From 0 to 1; no bar where it is unknown. */
  readonly share?: number;
  /** "loss 2.31", "4096 tokens/s". */
  readonly details: readonly string[];
  /** "1 min 05 s left"; empty where it is unknown. */
  readonly time: string;
}

/** A line, and the columns that it takes without its colours. */
export interface Line {
  readonly text: string;
  readonly columns: number;
}

/** Lengths of the bar: as it looks best, and where there is less room. */
const BARS = [24, 12];

/** A title is not cut below so many columns: the time is left out before. */
const LEAST_TITLE = 6;

/** The fullest form of a line that fits into so many columns. */
export function fit(parts: Parts, columns: number, { colour }: { readonly colour: boolean }): Line {
  const all = parts.details.length;
  const forms: [bar: number, details: number][] = [
    [BARS[0], all],
    ...Array.from({ length: all + 1 }, (_, fewer): [number, number] => [BARS[1], all - fewer]),
    [0, Math.min(1, all)],
    [0, 0],
  ];
  for (const [bar, details] of forms) {
    const line = lineOf(parts, { bar, details, colour });
    if (line.columns <= columns) return line;
  }
  for (const time of [parts.time, ""]) {
    const { columns: taken } = lineOf({ ...parts, title: "", time }, { bar: 0, details: 0, colour });
    const title = cutTo(parts.title, columns - taken - 1);
    if (columnsOf(title) >= LEAST_TITLE) return lineOf({ ...parts, title, time }, { bar: 0, details: 0, colour });
  }
  const text = cutTo(`${parts.title} ${parts.count}`, columns);
  return { text, columns: columnsOf(text) };
}

function lineOf(
  { title, count, share, details, time }: Parts,
  { bar, details: shown, colour }: { readonly bar: number; readonly details: number; readonly colour: boolean },
): Line {
  const drawing = share === undefined || bar === 0 ? "" : drawBar(share, bar);
  const rest = [count, ...details.slice(0, shown), time].filter((part) => part !== "").join(" · ");
  const join = (drawing: string): string => [title, drawing, rest].filter((part) => part !== "").join(" ");
  const columns = columnsOf(join(drawing));
  return { text: join(colour && drawing !== "" ? `\x1b[36m${drawing.replace("░", "\x1b[2m░")}\x1b[0m` : drawing), columns };
}

function drawBar(share: number, length: number): string {
  const filled = Math.floor(share * length);
  return "█".repeat(filled) + "░".repeat(length - filled);
}

/** Characters that take two columns: those of East Asia, and pictures. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

/** Columns that a text takes on a terminal. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const character of text) columns += /[\p{Mark}\p{Cf}]/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return columns;
}

/** A text in so many columns at most: what is cut off its end leaves "…". */
export function cutTo(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text;
  let kept = "";
  for (const character of text) {
    if (columnsOf(kept + character) > columns - 1) break;
    kept += character;
  }
  return columns < 1 ? "" : kept.trimEnd() + "…";
}
