import {
  elementScroll,
  observeElementOffset,
  observeElementRect,
  Virtualizer,
  type VirtualItem,
} from "@tanstack/virtual-core";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

interface VirtualListProps {
  readonly count: number;
  /** Height of an item in CSS pixels. */
  readonly height: number;
  readonly label: string;
  /** Told which items are in sight. */
  readonly onRange: (first: number, last: number) => void;
  readonly children: (index: number) => ComponentChildren;
}

/** A list of any length of which only the items in sight exist. */
export function VirtualList({ count, height, label, onRange, children }: VirtualListProps) {
  const frame = useRef<HTMLDivElement>(null);
  const [, redraw] = useState({});
  const made = useRef<Virtualizer<HTMLDivElement, Element> | null>(null);
  const options = {
    count,
    getScrollElement: () => frame.current,
    estimateSize: () => height,
    overscan: 8,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    onChange: () => redraw({}),
  };
  made.current ??= new Virtualizer(options);
  const virtualizer = made.current;
  virtualizer.setOptions(options);
  // The library names the two calls of its adapters so.
  // oxlint-disable-next-line no-underscore-dangle
  useLayoutEffect(() => virtualizer._didMount(), [virtualizer]);
  // oxlint-disable-next-line no-underscore-dangle
  useLayoutEffect(() => virtualizer._willUpdate());
  const items: readonly VirtualItem[] = virtualizer.getVirtualItems();
  const [first, last] = [items[0]?.index ?? 0, items.at(-1)?.index ?? 0];
  useLayoutEffect(() => onRange(first, last));
  return (
    <div class="virtual" ref={frame} role="list" aria-label={label} tabIndex={0}>
      <div class="virtual-all" style={{ height: `${virtualizer.getTotalSize()}px` }} role="presentation">
        {items.map(({ index, start }) => (
          <div
            key={index}
            role="listitem"
            aria-setsize={count}
            aria-posinset={index + 1}
            class="virtual-item"
            style={{ height: `${height}px`, transform: `translateY(${start}px)` }}
          >
            {children(index)}
          </div>
        ))}
      </div>
    </div>
  );
}
