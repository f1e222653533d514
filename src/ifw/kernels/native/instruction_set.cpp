// The kernels for one instruction set: compiled once for each, with IFW_LEVEL as its name.
#include <type_traits>

#include "decoder.h"
#include "encoder_attention.h"
#include "filter_bank.h"
#include "keep_int8.h"
#include "linear.h"
#include "lstm.h"
#include "residual_trunk.h"
#include "sinc_net.h"
#include "time_warping.h"
#include "token_attention.h"
#include "token_choice.h"
#include "voice_network.h"

#define IFW_TEXT_OF(name) #name
#define IFW_TEXT(name) IFW_TEXT_OF(name)
#define IFW_JOIN_OF(a, b) a##b
#define IFW_JOIN(a, b) IFW_JOIN_OF(a, b)

extern "C" {
extern const IfwKernels IFW_JOIN(ifw_kernels_, IFW_LEVEL);
const IfwKernels IFW_JOIN(ifw_kernels_, IFW_LEVEL) = {
    IFW_TEXT(IFW_LEVEL),
    IFW_LEVEL::PANEL,
    IFW_LEVEL::LANES,
    IFW_LEVEL::CHANNELS,
    !std::is_same<IFW_LEVEL::KindOf<IFW_LEVEL::bfloat16>::Type, IFW_LEVEL::Float32>::value,
    IFW_LEVEL::packed_bytes,
    IFW_LEVEL::pack_linear,
    IFW_LEVEL::linear,
    IFW_LEVEL::encoder_attention,
    IFW_LEVEL::decode_attention,
    IFW_LEVEL::keep_int8,
    IFW_LEVEL::decode,
    IFW_LEVEL::choose_tokens,
    IFW_LEVEL::residual_trunk,
    IFW_LEVEL::sinc_net,
    IFW_LEVEL::filter_bank,
    IFW_LEVEL::voice_network,
    IFW_LEVEL::lstm,
    IFW_LEVEL::add_attention,
    IFW_LEVEL::token_starts,
};
}
