"""Every decoder a study may name; a new one is one file and one line here."""

from pardec.common.registry import Registry

DECODERS = Registry(
    "decoder",
    {
        "autoregressive": "pardec.decoding.autoregressive:Autoregressive",
        "transformers_generate": "pardec.decoding.transformers_generate:TransformersGenerate",
        "transformers_continuous": "pardec.decoding.transformers_continuous:TransformersContinuous",
        "vllm": "pardec.decoding.vllm_generate:Vllm",
        "masked_diffusion": "pardec.decoding.masked_diffusion:MaskedDiffusion",
        "cached_diffusion": "pardec.decoding.cached_diffusion:CachedDiffusion",
        "block_diffusion": "pardec.decoding.block_diffusion:BlockDiffusion",
        "jacobi": "pardec.decoding.jacobi:Jacobi",
        "full_passes": "pardec.decoding.full_passes:FullPasses",
        "flash_flood": "pardec.decoding.flash_flood:FlashFloodDecoder",
        "table_lookup": "pardec.decoding.flash_flood:TableLookup",
        "speculative": "pardec.decoding.speculative.decoder:Speculative",
    },
)


def drafts(decoder: str) -> bool:
    """Return whether a decoder claims to draft, so that it has a tau."""
    return decoder == "speculative"
