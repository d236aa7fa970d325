//! Bytes on their way to a file that is written in whole blocks.

/// What is written past the page cache begins and ends at a multiple of so many bytes, in the file and in memory.
pub(super) const BLOCK: usize = 4096;

/// The room there is at first: for the rows of some hundred calls.
const ROOM: usize = 16 * BLOCK;

/// The block in which a file ends, and room behind it.
pub(super) struct Blocks {
    buffer: Vec<u8>,
    /// Where the block begins in the buffer, which is aligned from there.
    aligned: usize,
    /// How many bytes of the block the file has.
    filled: usize,
}

impl Blocks {
    /// For a file whose last block has these bytes.
    pub(super) fn new(block: &[u8]) -> Self {
        Self::with_room(ROOM, block)
    }

    fn with_room(room: usize, block: &[u8]) -> Self {
        let mut buffer = vec![0; room + BLOCK];
        let aligned = buffer.as_ptr().align_offset(BLOCK);
        let filled = block.len();
        buffer[aligned..][..filled].copy_from_slice(block);
        Self {
            buffer,
            aligned,
            filled,
        }
    }

    /// What to write from the start of the block on so that `bytes` stand behind what the file has. They end with zeros.
    pub(super) fn with(&mut self, bytes: &[u8]) -> &[u8] {
        let filled = self.filled;
        let end = filled + bytes.len();
        let blocks = self.room(end.next_multiple_of(BLOCK));
        blocks[filled..end].copy_from_slice(bytes);
        blocks[end..].fill(0);
        blocks
    }

    /// The file has the next `length` bytes too.
    pub(super) fn advance(&mut self, length: usize) {
        let end = self.filled + length;
        self.filled = end % BLOCK;
        let last = end - self.filled;
        self.room(end).copy_within(last..end, 0);
    }

    /// The first `length` bytes from the start of the block.
    fn room(&mut self, length: usize) -> &mut [u8] {
        if self.buffer.len() - BLOCK < length {
            let block = &self.buffer[self.aligned..][..self.filled];
            *self = Self::with_room(length.next_power_of_two(), block);
        }
        &mut self.buffer[self.aligned..][..length]
    }
}
