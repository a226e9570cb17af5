"""The shape of glm-small: a GLM of some eight million parameters."""

from sentencepiece import SentencePieceProcessor
from transformers import GenerationConfig, GlmConfig, GlmForCausalLM

from models.glm_small.chat import END_OF_TEXT, STOP_TOKENS

CONTEXT_TOKENS = 4096


def configuration(vocabulary: SentencePieceProcessor) -> GlmConfig:
    """GLM's architecture: half of each head rotates, gate and up are one matrix, two heads share keys and values."""
    return GlmConfig(
        vocab_size=vocabulary.vocab_size(),
        hidden_size=256,
        num_hidden_layers=6,
        intermediate_size=1280,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=CONTEXT_TOKENS,
        attention_bias=False,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        initializer_range=0.04,
        pad_token_id=vocabulary.piece_to_id(END_OF_TEXT),
        eos_token_id=stop_ids(vocabulary),
        bos_token_id=None,
    )


def stop_ids(vocabulary: SentencePieceProcessor) -> list[int]:
    """The ids that end an answer."""
    return [vocabulary.piece_to_id(token) for token in STOP_TOKENS]


def build(vocabulary: SentencePieceProcessor) -> GlmForCausalLM:
    """A freshly initialized model; the caller seeds torch."""
    model = GlmForCausalLM(configuration(vocabulary))
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=stop_ids(vocabulary), pad_token_id=vocabulary.piece_to_id(END_OF_TEXT)
    )
    return model
